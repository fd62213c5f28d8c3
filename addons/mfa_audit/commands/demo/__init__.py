"""What the demonstration and the tests play with: a stand-in for the API, tokens of nobody, small clients."""
