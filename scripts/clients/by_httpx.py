"""One call by httpx. Arguments: URL, token."""

import sys

import httpx

print(httpx.get(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"}, timeout=30).status_code)
