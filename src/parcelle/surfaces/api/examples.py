"""Examples in the OpenAPI document: of answers by operation, and of problems."""

from __future__ import annotations

from typing import Any

INSTANCE_ID = "6f1c9c1e-9d1b-4c55-9d39-0c3a1f0f7a11"
_STEP = {
    "name": "claim_standby",
    "state": "succeeded",
    "attempt": 1,
    "startedAt": "2026-03-02T09:15:00.120Z",
    "finishedAt": "2026-03-02T09:15:00.171Z",
    "seconds": 0.051,
    "fraction": None,
}
_SUMMARY = {
    "instanceId": INSTANCE_ID,
    "status": "running",
    "clientName": "acme-corp",
    "companyName": "Acme Corporation",
    "adminEmail": "admin@acme.com",
    "productSlug": "tryton",
    "instanceUrl": "http://localhost:8080/#client_acme_corp",
    "createdAt": "2026-03-02T09:15:00Z",
    "readyAt": "2026-03-02T09:15:00.870Z",
}
_RUNNING = {
    **_SUMMARY,
    "progress": 100,
    "userName": "acme-corp",
    "adminPassword": "shown-here-12",
    "databaseName": "client_acme_corp",
    "reason": None,
    "seconds": 0.87,
    "operation": {"operationId": "0d0c8c53-7a1f-4a06-8f77-3a5c1c8f5a1e", "kind": "create", "state": "succeeded"},
    "steps": [_STEP],
    "waitingFor": None,
    "error": None,
}
_CREATING = {
    **_RUNNING,
    "status": "creating",
    "instanceUrl": None,
    "readyAt": None,
    "progress": 40,
    "userName": None,
    "adminPassword": None,
    "databaseName": None,
    "seconds": None,
    "operation": {**_RUNNING["operation"], "state": "running"},  # type: ignore[dict-item]
}
_FAILED = {
    **_CREATING,
    "status": "failed",
    "seconds": 300.4,
    "operation": {**_RUNNING["operation"], "state": "failed"},  # type: ignore[dict-item]
    "steps": [{**_STEP, "name": "start", "state": "failed", "attempt": 3}],
    "error": {"code": "timeout", "message": "Timeout: creating the stack took too long", "detail": None},
}
_ACCEPTED = {"instanceId": INSTANCE_ID, "status": "creating", "message": "The instance is being created."}

EXAMPLES: dict[str, dict[str, Any]] = {
    "createInstance": {"accepted": _ACCEPTED},
    "retryInstance": {"accepted": _ACCEPTED},
    "suspendInstance": {"accepted": {**_ACCEPTED, "status": "running", "message": "The instance is being suspended."}},
    "resumeInstance": {"accepted": {**_ACCEPTED, "status": "suspended", "message": "The instance is being started."}},
    "archiveInstance": {"accepted": {**_ACCEPTED, "status": "running", "message": "The instance is being archived."}},
    "getInstance": {"running": _RUNNING, "creating": _CREATING, "failed": _FAILED},
    "listInstances": {"page": {"items": [_SUMMARY], "count": 1, "limit": 50, "offset": 0, "next": None}},
}
ADDRESSES = {
    "createInstance": "/api/instances",
    "listInstances": "/api/instances?limit=0",
    "suspendInstance": f"/api/instances/{INSTANCE_ID}/suspend",
    "resumeInstance": f"/api/instances/{INSTANCE_ID}/resume",
    "retryInstance": f"/api/instances/{INSTANCE_ID}/retry",
    "getProblem": "/api/problems/unheard-of",
}
ERRORS = {
    "createInstance": [
        {
            "pointer": "#/clientName",
            "code": "string_pattern_mismatch",
            "detail": "3 to 50 characters: lower-case letters without accents, digits and hyphens.",
        }
    ],
    "listInstances": [
        {"parameter": "limit", "code": "greater_than_equal", "detail": "This number must be at least 1."}
    ],
}
DETAILS = {
    "invalid-request": "One field is not as it must be.",
    "name-taken": "The name acme-corp is taken. Please choose another one.",
    "already-subscribed": "You already have an active subscription (Essai)",
    "trial-used": "You have already used your free trial (Essai). Write to us to go on.",
    "too-many-requests": "This token has used up its 600 requests per minute. Try again in 12 s.",
}

PLAN_ID = "0b5f6a3e-8a43-4a6e-9d1e-5f7a2c1b9d10"
ADD_ON_ID = "9a1b2c3d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"
PRICE_ID = "3f0b9ad5-4f0e-4b6c-9a53-2b3c4d5e6f70"
ORDER_ID = "c7d1a2b3-2f4e-4d5c-8a6b-1e2f3a4b5c6d"
PAYMENT_ID = "e2b1c0d9-6a5f-4e3d-9c8b-7a6f5e4d3c2b"


def _euros(minor: int, text: str) -> dict[str, Any]:
    return {"minor": minor, "currency": "EUR", "text": text}


_PLAN = {
    "planId": PLAN_ID,
    "slug": "silver",
    "name": "Silver",
    "summary": "For a team at work.",
    "productSlug": "tryton",
    "productName": "Tryton",
    "popular": True,
    "onRequest": False,
    "contactUrl": None,
    "trialDays": 0,
    "retentionDays": 30,
    "limits": [
        {"metric": "users", "name": "Users", "amount": 10, "unlimited": False},
        {"metric": "storage_gb", "name": "Storage in GB", "amount": 25, "unlimited": False},
    ],
    "resources": {"memoryMb": None, "cpus": None, "processes": None},
    "prices": [
        {"priceId": PRICE_ID, "interval": "month", "amount": _euros(4900, "€49.00"), "savingPercent": 0},
        {
            "priceId": "b1c2d3e4-5f60-4718-8293-a4b5c6d7e8f9",
            "interval": "year",
            "amount": _euros(49000, "€490.00"),
            "savingPercent": 16,
        },
    ],
    "addOns": [
        {
            "addOnId": ADD_ON_ID,
            "name": "Extra user",
            "metric": "users",
            "most": 100,
            "prices": [{"interval": "month", "amount": _euros(500, "€5.00"), "adds": 1}],
        }
    ],
}
_ON_REQUEST = {
    **_PLAN,
    "planId": "6d3c1f5e-7a2b-4c9d-8e0f-1a2b3c4d5e6f",
    "slug": "enterprise",
    "name": "Entreprise",
    "summary": "Several companies, servers of your own, a contract on your terms.",
    "popular": False,
    "onRequest": True,
    "contactUrl": "http://localhost:8000/contact?plan=6d3c1f5e-7a2b-4c9d-8e0f-1a2b3c4d5e6f",
    "limits": [],
    "prices": [],
    "addOns": [],
}
_FEATURES = {
    "planId": PLAN_ID,
    "items": [
        {
            "key": "users",
            "name": "Users",
            "icon": "users",
            "included": True,
            "counted": True,
            "amount": 10,
            "unlimited": False,
        },
        {
            "key": "support",
            "name": "Answers within one working day",
            "icon": "lifebuoy",
            "included": False,
            "counted": False,
            "amount": None,
            "unlimited": False,
        },
    ],
}
_ORDER = {
    "orderId": ORDER_ID,
    "number": "CMD-2026-000042",
    "status": "open",
    "planId": PLAN_ID,
    "planName": "Silver",
    "productSlug": "tryton",
    "priceId": PRICE_ID,
    "interval": "month",
    "subtotal": _euros(4900, "€49.00"),
    "discount": _euros(490, "€4.90"),
    "tax": _euros(882, "€8.82"),
    "total": _euros(5292, "€52.92"),
    "couponCode": "BIENVENUE",
    "email": "awa@diop.fr",
    "organizationId": None,
    "subscriptionId": None,
    "instanceId": None,
    "createdAt": "2026-03-02T09:15:00Z",
    "expiresAt": "2026-03-16T09:15:00Z",
    "paidAt": None,
    "fulfilledAt": None,
}
_PAYMENT = {
    "paymentId": PAYMENT_ID,
    "number": "PAR2026000017",
    "orderId": ORDER_ID,
    "orderNumber": "CMD-2026-000042",
    "method": "paypal",
    "status": "pending",
    "amount": _euros(5292, "€52.92"),
    "received": None,
    "refunded": _euros(0, "€0.00"),
    "reason": None,
    "message": None,
    "providerReference": "5O190127TN364715T",
    "createdAt": "2026-03-02T09:16:00Z",
    "submittedAt": "2026-03-02T09:16:00Z",
    "settledAt": None,
}
_NO_STEP: dict[str, Any] = {"url": None, "lines": []}
_REDIRECT = {
    **_PAYMENT,
    "next": {**_NO_STEP, "kind": "redirect", "url": "https://www.paypal.com/checkoutnow?token=5O190127TN364715T"},
}
_TELEPHONE = {**_PAYMENT, "method": "mtn_momo", "providerReference": None, "next": {**_NO_STEP, "kind": "wait"}}
_DECLINED = {
    **_PAYMENT,
    "status": "declined",
    "reason": "not_enough_funds",
    "message": "There is not enough money on the account. Top it up and try again, or pay another way.",
    "settledAt": "2026-03-02T09:17:00Z",
    "next": None,
}
_PAID = {
    **_PAYMENT,
    "status": "paid",
    "received": _euros(5292, "€52.92"),
    "settledAt": "2026-03-02T09:17:00Z",
    "next": None,
}
_OPEN_ORDER = {
    **_ORDER,
    "customer": {
        "email": "awa@diop.fr",
        "firstName": "Awa",
        "lastName": "Diop",
        "companyName": "Diop & Fils",
        "phone": "+33612345678",
        "country": "FR",
        "address": "1 rue de la Paix",
        "postcode": "75002",
        "city": "Paris",
        "vatNumber": "",
        "siren": "732829320",
    },
    "addOns": [],
    "taxRate": "20",
    "taxNote": None,
    "methods": [{"method": "paypal", "asks": []}, {"method": "mtn_momo", "asks": ["phone"]}],
    "payment": None,
}
_FULFILLED_ORDER = {
    **_OPEN_ORDER,
    "status": "fulfilled",
    "organizationId": "8c7b6a59-4837-4261-9504-f3e2d1c0b9a8",
    "subscriptionId": "1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9",
    "instanceId": INSTANCE_ID,
    "paidAt": "2026-03-02T09:17:00Z",
    "fulfilledAt": "2026-03-02T09:17:01Z",
    "methods": [],
    "payment": _PAID,
}
_VALID = {
    "valid": True,
    "reason": None,
    "message": None,
    "payments": 1,
    "subtotal": _ORDER["subtotal"],
    "discount": _ORDER["discount"],
    "tax": _ORDER["tax"],
    "total": _ORDER["total"],
}
_NOT_VALID = {
    **_VALID,
    "valid": False,
    "reason": "used_up",
    "message": "This code has been used up.",
    "payments": None,
    "discount": _euros(0, "€0.00"),
    "tax": _euros(980, "€9.80"),
    "total": _euros(5880, "€58.80"),
}
_CONFIRMED = {
    "reference": "RF18PAR2026000017",
    "status": "confirmed",
    "expected": _euros(5292, "€52.92"),
    "received": _euros(5292, "€52.92"),
    "missing": _euros(0, "€0.00"),
    "payment": {**_PAID, "method": "bank_transfer", "providerReference": "RF18PAR2026000017"},
}
_PARTIAL = {
    **_CONFIRMED,
    "status": "partial",
    "received": _euros(3000, "€30.00"),
    "missing": _euros(2292, "€22.92"),
    "payment": {
        **_PAYMENT,
        "method": "bank_transfer",
        "providerReference": "RF18PAR2026000017",
        "next": {
            **_NO_STEP,
            "kind": "instructions",
            "lines": [
                {"name": "iban", "text": "FR1420041010050500013M02606"},
                {"name": "reference", "text": "RF18PAR2026000017"},
            ],
        },
    },
}
_PART = {"count": 1, "limit": 50, "offset": 0, "next": None}
INVOICE_ID = "0b8a54a6-2f4a-4a6f-9a51-4f7a5d0f3c21"
_INVOICE = {
    "invoiceId": INVOICE_ID,
    "kind": "invoice",
    "number": "FA-2026-000123",
    "status": "paid",
    "issuedOn": "2026-03-02",
    "dueOn": None,
    "net": _euros(4900, "€49.00"),
    "tax": _euros(980, "€9.80"),
    "total": _euros(5880, "€58.80"),
    "leftToPay": _euros(0, "€0.00"),
    "orderId": ORDER_ID,
    "corrects": None,
    "createdAt": "2026-03-02T09:20:00Z",
}
_WHOLE_INVOICE = {
    **_INVOICE,
    "lines": [
        {
            "name": "Tryton Silver",
            "description": "Monthly subscription",
            "quantity": 1,
            "price": _euros(4900, "€49.00"),
            "discount": None,
            "net": _euros(4900, "€49.00"),
            "taxRate": "20",
            "startsOn": "2026-03-02",
            "endsOn": "2026-04-01",
        }
    ],
    "paidOn": "2026-03-02",
    "missing": [],
    "creditNotes": [],
    "files": ["pdf", "xml", "ubl"],
}
_WAITING_INVOICE = {
    **_WHOLE_INVOICE,
    "number": None,
    "status": "waiting",
    "issuedOn": None,
    "missing": ["buyer_siren"],
    "files": [],
}

EXAMPLES |= {
    "listPlans": {"page": {"items": [_PLAN, _ON_REQUEST], **_PART, "count": 2}},
    "getPlan": {"plan": _PLAN, "onRequest": _ON_REQUEST},
    "listPlanFeatures": {"features": _FEATURES},
    "listOrders": {"page": {"items": [_ORDER], **_PART}},
    "createOrder": {"open": _OPEN_ORDER},
    "getOrder": {"open": _OPEN_ORDER, "fulfilled": _FULFILLED_ORDER},
    "initiatePayment": {"redirect": _REDIRECT, "onTheTelephone": _TELEPHONE, "declined": _DECLINED},
    "verifyPayment": {"fulfilled": _FULFILLED_ORDER, "declined": {**_OPEN_ORDER, "payment": _DECLINED}},
    "listPayments": {"page": {"items": [_PAYMENT], **_PART}},
    "verifyBankTransfer": {"confirmed": _CONFIRMED, "partial": _PARTIAL},
    "getPayment": {"pending": _REDIRECT, "paid": _PAID, "declined": _DECLINED},
    "listInvoices": {"page": {"items": [_INVOICE], **_PART}},
    "getInvoice": {"issued": _WHOLE_INVOICE, "waiting": _WAITING_INVOICE},
    "validateCoupon": {"valid": _VALID, "notValid": _NOT_VALID},
}
_TENANTS = "/api/tenants"
ADDRESSES |= {
    "listPlans": f"{_TENANTS}/plans/?limit=0",
    "getPlan": f"{_TENANTS}/plans/{PLAN_ID}/",
    "listPlanFeatures": f"{_TENANTS}/plans/{PLAN_ID}/features/",
    "listOrders": f"{_TENANTS}/orders/?limit=0",
    "createOrder": f"{_TENANTS}/orders/",
    "getOrder": f"{_TENANTS}/orders/{ORDER_ID}/",
    "initiatePayment": f"{_TENANTS}/orders/{ORDER_ID}/initiate_payment/",
    "verifyPayment": f"{_TENANTS}/orders/{ORDER_ID}/verify_payment/",
    "listPayments": f"{_TENANTS}/payments/?limit=0",
    "getPayment": f"{_TENANTS}/payments/{PAYMENT_ID}/",
    "verifyBankTransfer": f"{_TENANTS}/payments/{PAYMENT_ID}/verify_bank_transfer/",
    "listInvoices": f"{_TENANTS}/invoices/?limit=0",
    "getInvoice": f"{_TENANTS}/invoices/{INVOICE_ID}/",
    "downloadInvoice": f"{_TENANTS}/invoices/{INVOICE_ID}/download/?format=doc",
    "validateCoupon": f"{_TENANTS}/coupons/validate/",
}
_LIMIT = ERRORS["listInstances"]
ERRORS |= {
    "listPlans": _LIMIT,
    "listOrders": _LIMIT,
    "listPayments": _LIMIT,
    "listInvoices": _LIMIT,
    "downloadInvoice": [{"parameter": "format", "code": "literal_error", "detail": "One of: pdf, xml, ubl."}],
    "createOrder": [
        {"pointer": "#/customer/country", "code": "country", "detail": "Two capitals, such as FR or CM (ISO 3166)."}
    ],
    "initiatePayment": [
        {"pointer": "#/phone", "code": "phone", "detail": "Digits, with the country code first: +33 6 12 34 56 78."}
    ],
    "verifyBankTransfer": [{"pointer": "#/bankReference", "code": "missing", "detail": "This field is required."}],
    "validateCoupon": [{"pointer": "#/code", "code": "missing", "detail": "This field is required."}],
}
DETAILS |= {
    "coupon-refused": "This code has been used up.",
    "add-on-refused": "This add-on is not sold with this plan.",
}

ORGANIZATION_ID = "5b1a7c0e-0d5f-4a57-9a51-6f7d2f0a9b31"
_ORGANIZATION = {
    "organizationId": ORGANIZATION_ID,
    "name": "Diop & Fils",
    "slug": "diop-fils",
    "status": "active",
    "language": "fr",
    "role": "owner",
    "createdAt": "2026-03-02T09:15:00Z",
}
_MEMBER = {
    "email": "awa@diop.fr",
    "firstName": "Awa",
    "lastName": "Diop",
    "role": "owner",
    "since": "2026-03-02T09:15:00Z",
}
EXAMPLES |= {
    "listOrganizations": {
        "page": {"items": [_ORGANIZATION], "count": 1, "limit": 50, "offset": 0, "next": None},
    },
    "getOrganization": {"organization": _ORGANIZATION},
    "listMembers": {"members": {"organizationId": ORGANIZATION_ID, "items": [_MEMBER]}},
    "inviteMember": {
        "invited": {
            "invitationId": "1d2c3b4a-5f6e-4d7c-8b9a-0f1e2d3c4b5a",
            "email": "noa@diop.fr",
            "role": "member",
            "expiresAt": "2026-03-09T09:15:00Z",
        }
    },
}
ADDRESSES |= {
    "listOrganizations": "/api/tenants/organizations/?limit=0",
    "getOrganization": f"/api/tenants/organizations/{ORGANIZATION_ID}/",
    "listMembers": f"/api/tenants/organizations/{ORGANIZATION_ID}/members/",
    "inviteMember": f"/api/tenants/organizations/{ORGANIZATION_ID}/invite_member/",
}
