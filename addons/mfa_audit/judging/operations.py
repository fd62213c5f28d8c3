"""From a method and a path to an operation that names no customer, user or domain."""

from __future__ import annotations

from typing import Final

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Deeper than any path of the API; what lies below is left out.
DEEPEST: Final = 12

# The words of the API's own paths, gathered from Microsoft's documentation. Anything else may name somebody.
WORDS: Final = frozenset(
    """
    v1 v3 accept accountenrollments activate activationlinks addons address agreements agreementstatus
    agreementtemplates all analytics applicationconsents applicationmfaadoptionstatus artifacts auditrecords
    availabilities azure azureentitlements batchjobstatus billing billinglineitems branches callback carts
    checkinventory checkout commercial company compliance conversions countryvalidationrules csp customers
    deployment devicebatches devicepolicyupdates devices directoryroles
    directsignedmicrosoftcustomeragreementstatus document documents domains eligibility engagements
    entitlements estimates events extensions fraudevents generatetoken groups images indirectresellers
    ingestion insights invoices legalbusiness license licenses licenseupdates lineitems links listings
    managedservices meterusagerecords migrations mostrecent mpn newcommerce nonmfacompliantpartnerprincipals
    offercategories offers onetime orders organization packages partner partnerrequests policies product
    productpromotions products productupgrades profiles provisioningstatus qualification qualifications
    ratecards receipts referrals registration registrations registrationstatus relationshiprequests
    relationships reservedinstance resetpassword resource resources resourceusagerecords search
    selfservepolicy servicecosts servicerequests setup skus statement status subscribedskus subscriptions
    summaries summary support supportcontact supportprofile test testbatch token transfers
    transfereligibility transitioneligibilities transitions unbilled upgrades usage usagebudget usagerecords
    usagesummary usermembers users utilizations validationevents validations variants verifieddomain
    virtualmachinereservedinstance webhooks
    """.split()  # noqa: SIM905 - a list of words reads better than 170 quoted ones
)


def operation(method: str, path: str) -> str:
    """The operation as `METHOD /template`, such as `GET /v1/customers/*/users`.

    Known words are kept in lower case, any other segment (percent-encoded words too) is `*`, a deep path
    ends in `**`, and a query or fragment is dropped. A method that the API does not know is `OTHER`.
    """
    verb = method.upper()
    if verb not in METHODS:
        verb = "OTHER"
    if len(path) > 4096:
        path = path[:4096]
    for mark in "?#":
        if mark in path:
            path = path.split(mark, 1)[0]
    segments = [segment for segment in path.split("/", DEEPEST * 4) if segment]
    kept = [word if (word := segment.lower()) in WORDS else "*" for segment in segments[:DEEPEST]]
    if len(segments) > DEEPEST:
        kept.append("**")
    return f"{verb} /{'/'.join(kept)}"
