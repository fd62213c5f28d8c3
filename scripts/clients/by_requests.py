"""One call by requests. Arguments: URL, token."""

import sys

import requests

print(requests.get(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"}, timeout=30).status_code)
