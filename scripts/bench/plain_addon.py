"""The addon that one would write first: decode each token, insert a row for each call with sqlite-utils."""

from __future__ import annotations

import os

import jwt
import sqlite_utils
from mitmproxy import http


class Plain:
    def __init__(self) -> None:
        self.db = sqlite_utils.Database(os.environ["BENCH_PLAIN_DB"])

    def response(self, flow: http.HTTPFlow) -> None:
        token = flow.request.headers.get("authorization", "").removeprefix("Bearer ")
        claims = jwt.decode(token, options={"verify_signature": False})
        self.db.table("calls").insert(
            {
                "at": flow.request.timestamp_start,
                "user_agent": flow.request.headers.get("user-agent"),
                "method": flow.request.method,
                "path": flow.request.path,
                "app_id": claims.get("appid"),
                "user": claims.get("upn"),
                "amr": claims.get("amr"),
                "mfa": "mfa" in claims.get("amr", []),
                "status": flow.response.status_code if flow.response else None,
            }
        )


addons = [Plain()]
