"""One call by the standard library. Arguments: URL, token."""

import sys
import urllib.request

request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"})
print(urllib.request.urlopen(request, timeout=30).status)
