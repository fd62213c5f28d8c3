"""From what databases hold to one Report, the value that every format renders."""
