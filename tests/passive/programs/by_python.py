"""Make the calls of a plan with requests or httpx, and print what came of each. Arguments: KIND URL PLAN."""

import json
import sys
import time

kind, base, plan = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])


def session():
    if kind == "requests":
        import requests

        return requests.Session()
    import httpx

    return httpx.Client(http2=kind == "httpx-2", timeout=20)


def call(client, method, url, body, headers):
    began = time.monotonic()
    data = b"x" * body if body else None
    if kind == "requests":
        answer = client.request(method, url, data=data, headers=headers, timeout=20, stream=True)
        pieces = answer.iter_content(64)
        status = answer.status_code
    else:
        request = client.build_request(method, url, content=data, headers=headers)
        answer = client.send(request, stream=True)
        pieces = answer.iter_raw(64)
        status = answer.status_code
    size, first = 0, None
    for piece in pieces:
        first = first or time.monotonic() - began
        size += len(piece)
    answer.close()
    return [status, size, first or 0, time.monotonic() - began]


for situation, calls in plan.items():
    client = session()
    results = []
    for number, (method, body, pause, headers) in enumerate(calls):
        time.sleep(pause)
        try:
            results.append(
                call(client, method, base.replace("SITUATION", f"{situation}/{number}"), body, headers)
            )
        except Exception as error:
            results.append(["error", 0, 0, 0, f"{type(error).__name__} {error}"[:200]])
    client.close()
    print(json.dumps([situation, results]), flush=True)
