"""A sign-in as Microsoft Graph gives it (https://learn.microsoft.com/graph/api/resources/signin)."""

from __future__ import annotations

from typing import Any

APP = "31d9ed98-a469-4536-ade2-f981bc1d6050"
PARTNER_CENTER = "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd"

GRAPH: dict[str, Any] = {
    "id": "66ea54eb-6301-4ee5-be62-ff5a759b0100",
    "createdDateTime": "2026-11-24T03:00:00Z",
    "userPrincipalName": "svc-pc@contoso.example",
    "userId": "26be570a-ae82-4189-b4e2-a37c6808512d",
    "appId": APP,
    "appDisplayName": "Nightly sync",
    "ipAddress": "203.0.113.7",
    "clientAppUsed": "Mobile Apps and Desktop clients",
    "conditionalAccessStatus": "success",
    "signInEventTypes": ["nonInteractiveUser"],
    "resourceDisplayName": "Microsoft Partner Center",
    "resourceId": PARTNER_CENTER,
    "homeTenantId": "5a5b1d3c-0000-4000-8000-000000000001",
    "authenticationProtocol": "ropc",
    "authenticationRequirement": "singleFactorAuthentication",
    "authenticationRequirementPolicies": [],
    "appliedConditionalAccessPolicies": [
        {"id": "p1", "displayName": "Block legacy clients", "result": "success"},
        {"id": "p2", "displayName": "Require MFA for admins", "result": "notApplied"},
    ],
    "networkLocationDetails": [{"networkType": "trustedNamedLocation", "networkNames": ["Head office"]}],
    "mfaDetail": None,
    "status": {"errorCode": 0, "failureReason": "Other.", "additionalDetails": None},
}
