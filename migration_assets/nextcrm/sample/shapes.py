"""The old shapes of documents, as a list to read."""

from __future__ import annotations

from bson import Int64
from bson.datetime_ms import DatetimeMS

from migration_assets.nextcrm.sample.ledger import Expectation, OldShape
from migration_assets.nextcrm.sample.shape import (
    Shape,
    and_deleted,
    by_turn,
    changed,
    created,
    deleted,
    id_at,
    id_of,
    misspelt,
    of_digits,
)
from migration_assets.nextcrm.sample.values import ABSENT

_accepted, _coerced, _nulled = Expectation.ACCEPTED, Expectation.COERCED, Expectation.NULLED
_orphaned, _rejected = Expectation.ORPHANED, Expectation.REJECTED

SHAPES: tuple[Shape, ...] = (
    # tasks and boards
    Shape(
        OldShape.CRM_COMMENT,
        "tasksComments",
        {"task": id_of("crm_Accounts_Tasks"), "assigned_crm_account_task": ABSENT},
        {"task": _rejected},
        count=38,
    ),
    Shape(
        OldShape.CRM_WEEK,
        "Tasks",
        {
            "account": id_of("crm_Accounts"),
            "opportunity": None,
            "contact": None,
            "section": ABSENT,
        },
        since="2023-08-27",
        until="2023-09-03",
    ),
    Shape(
        OldShape.OLD_NAMES,
        "Boards",
        {
            "date_created": created,
            "last_edited": changed,
            "createdAt": ABSENT,
            "updatedAt": ABSENT,
            "sharedWith": ABSENT,
        },
        until="2024-02-22",
    ),
    Shape(
        OldShape.DELETED_USER,
        "Boards",
        {"user": deleted("Users")},
        {"user": _rejected},
        count=1,
        first=60,
    ),
    Shape(OldShape.TO_REJECTED, "Sections", {"board": id_at("Boards", 60)}, count=2, first=100),
    Shape(OldShape.TO_REJECTED, "Tasks", {"section": id_at("Sections", 100)}, count=38, first=240),
    Shape(
        OldShape.DELETED_USER,
        "Boards",
        {"sharedWith": and_deleted("sharedWith", "Users")},
        {"sharedWith": _orphaned},
        count=2,
        first=170,
    ),
    Shape(
        OldShape.DELETED_USER,
        "Boards",
        {"watchers": and_deleted("watchers", "Users")},
        {"watchers": _orphaned},
        count=3,
        first=176,
    ),
    Shape(
        OldShape.DELETED_USER,
        "Tasks",
        {"createdBy": deleted("Users"), "updatedBy": deleted("Users")},
        {"createdBy": _orphaned, "updatedBy": _orphaned},
        count=40,
        first=300,
    ),
    Shape(
        OldShape.NUMBER_AS_DOUBLE,
        "Tasks",
        {"position": by_turn(1.0, 2.0, 3.0)},
        {"position": _coerced},
        count=5,
        first=400,
    ),
    Shape(
        OldShape.TIME_AS_TEXT,
        "Tasks",
        {"dueDateAt": "2023-09-30T22:00:00.000Z"},
        {"dueDateAt": _coerced},
        count=3,
        first=410,
    ),
    # accounts
    Shape(
        OldShape.OLD_NAMES,
        "crm_Accounts",
        {
            "date_created": created,
            "date_last_modified": changed,
            "created_by": id_of("Users"),
            "createdAt": ABSENT,
            "updatedAt": ABSENT,
            "createdBy": ABSENT,
        },
        until="2023-08-23",
    ),
    Shape(
        OldShape.DELETED_DOCUMENT,
        "crm_Accounts",
        {"documentsIDs": and_deleted("documentsIDs", "Documents")},
        {"documentsIDs": _orphaned},
        count=2,
        first=30,
    ),
    Shape(
        OldShape.DELETED_USER,
        "crm_Accounts",
        {"watchers": and_deleted("watchers", "Users")},
        {"watchers": _orphaned},
        count=2,
        first=34,
    ),
    # contacts
    Shape(
        OldShape.STATUS_AS_TEXT,
        "crm_Contacts",
        {"status": by_turn("Active", "Active", "Inactive")},
        {"status": _rejected},
        until="2023-07-30",
    ),
    Shape(
        OldShape.LONE_LINK,
        "crm_Contacts",
        {"account": id_of("crm_Accounts"), "accountsIDs": ABSENT},
        until="2023-08-23",
    ),
    Shape(
        OldShape.BIRTHDAY,
        "crm_Contacts",
        {
            "birthday": by_turn(
                "1990-04-30T22:00:00.000Z", "1/5/1990", "undefined/undefined/undefined"
            )
        },
        until="2023-08-27",
    ),
    Shape(
        OldShape.LIST_OF_ONE,
        "crm_Contacts",
        {"accountsIDs": lambda hand: [hand.id_of("crm_Accounts")]},
        {"accountsIDs": _coerced},
        count=1,
        first=15,
    ),
    Shape(OldShape.OTHER_LABEL, "crm_Contacts", {"type": "Clients"}, count=2, first=20),
    Shape(
        OldShape.TWO_CREATORS,
        "crm_Contacts",
        {"created_by": id_at("Users", 3), "createdBy": id_at("Users", 4)},
        count=1,
        first=23,
    ),
    Shape(
        OldShape.IMPORTED,
        "crm_Contacts",
        {
            "__v": ABSENT,
            "mobile_phone": Int64(420_777_000_111),
            "office_phone": 420777000111.0,
            "status": "true",
            "assigned_to": lambda hand: str(hand.id_of("Users")),
            "tags": "vip",
            "created_on": "2023-09-24",
            "cratedAt": "24.09.2023",
        },
        {
            **dict.fromkeys(
                ("mobile_phone", "office_phone", "status", "assigned_to", "tags", "created_on"),
                _coerced,
            ),
            "cratedAt": _nulled,
        },
        count=2,
        first=26,
    ),
    Shape(
        OldShape.DELETED_USER,
        "crm_Contacts",
        {"last_activity_by": deleted("Users")},
        {"last_activity_by": _orphaned},
        count=3,
        first=30,
    ),
    # leads
    Shape(
        OldShape.OLD_NAMES,
        "crm_Leads",
        {
            "date_created": created,
            "date_modify": changed,
            "createdAt": ABSENT,
            "updatedAt": ABSENT,
        },
        until="2023-10-07",
    ),
    Shape(OldShape.NO_NAME, "crm_Leads", {"lastName": by_turn(None, ABSENT)}, count=2, first=3),
    Shape(OldShape.OTHER_LABEL, "crm_Leads", {"type": ""}, count=1, first=14),
    # opportunities
    Shape(
        OldShape.TEXT_FOR_ID,
        "crm_Opportunities",
        {"campaign": "Social networks", "sales_stage": "New", "type": "New"},
        {"campaign": _orphaned, "sales_stage": _orphaned, "type": _orphaned},
        until="2023-07-23",
    ),
    Shape(
        OldShape.STATUS_AS_TEXT,
        "crm_Opportunities",
        {"status": "Active"},
        {"status": _nulled},
        until="2023-07-23",
    ),
    Shape(
        OldShape.OLD_NAMES,
        "crm_Opportunities",
        {"created_on": created, "createdAt": ABSENT},
        until="2023-08-23",
    ),
    Shape(
        OldShape.NUMBER_AS_TEXT,
        "crm_Opportunities",
        {
            "budget": by_turn("250000", "1.000.000", "500.000", ""),
            "expected_revenue": by_turn("500000", "500.000"),
        },
        {"budget": of_digits, "expected_revenue": of_digits},
        until="2023-09-09",
    ),
    Shape(
        OldShape.MISSPELT_COLLECTION,
        "crm_Opportunities",
        {"campaign": misspelt},
        {"campaign": _orphaned},
        since="2023-07-23",
        until="2023-10-04",
    ),
    Shape(
        OldShape.DELETED_CONTACT,
        "crm_Opportunities",
        {"contact": deleted("crm_Contacts")},
        {"contact": _orphaned},
        count=2,
        first=13,
    ),
    Shape(
        OldShape.FREE_CURRENCY,
        "crm_Opportunities",
        {"currency": by_turn("US Dollar", "Kč (koruna)", "euro")},
        count=3,
        first=15,
    ),
    Shape(
        OldShape.DELETED_USER,
        "crm_Opportunities",
        {"last_activity_by": deleted("Users")},
        {"last_activity_by": _orphaned},
        count=2,
        first=20,
    ),
    # documents, invoices and contracts
    Shape(
        OldShape.LONE_LINK,
        "Documents",
        {"account": id_of("crm_Accounts"), "accountsIDs": ABSENT},
        until="2023-08-26",
    ),
    Shape(
        OldShape.OBJECT_FOR_LIST,
        "Documents",
        {"connected_documents": lambda _hand: {}},
        {"connected_documents": Expectation.ALTERED},
        until="2023-08-09",
    ),
    Shape(
        OldShape.INVOICE_LABEL, "Documents", {"document_system_type": "INVOICE"}, count=1, first=4
    ),
    Shape(
        OldShape.OLD_NAMES,
        "Invoices",
        {
            "inovice_currency": "CZK",
            "partner_address": "Street 1, City",
            "invoice_state": deleted("invoice_States"),
            "user": id_of("Users"),
            "account": id_of("crm_Accounts"),
            "visibility": "public",
            "connected_documents": lambda _hand: {},
            **dict.fromkeys(
                (
                    "invoice_currency",
                    "last_updated",
                    "invoice_state_id",
                    "assigned_user_id",
                    "assigned_account_id",
                ),
                ABSENT,
            ),
        },
        {"visibility": _rejected, "connected_documents": _orphaned},
        until="2023-08-12",
    ),
    Shape(
        OldShape.YEAR_24,
        "crm_Contracts",
        {"startDate": DatetimeMS(-61_398_259_200_000)},
        count=1,
    ),
    # users and modules
    Shape(
        OldShape.DOUBLED_USER,
        "Users",
        {"email": lambda hand: f"twice.{hand.turn // 2}@example.org"},
        {"email": _accepted},
        count=2,
        first=400,
    ),
    Shape(
        OldShape.DOUBLED_USER,
        "Boards",
        {"user": id_at("Users", 401)},
        count=1,
        first=80,
    ),
    Shape(OldShape.NO_ADDRESS, "Users", {"email": None}, count=1, first=410),
    Shape(
        OldShape.EMPTY_ADDRESS,
        "Users",
        {"email": lambda hand: " " * hand.turn},
        count=2,
        first=420,
    ),
    Shape(
        OldShape.CAPITAL_ADDRESS,
        "Users",
        {"email": lambda hand: f"John.Doe{hand.turn or ''}@example.org"},
        count=1,
        first=5,
    ),
    Shape(
        OldShape.CASE_ONLY,
        "Users",
        {
            "email": lambda hand: (
                f"{'same' if hand.turn % 2 else 'Same'}.{hand.turn // 2}@example.org"
            )
        },
        count=2,
        first=440,
    ),
    Shape(
        OldShape.DELETED_BOARD,
        "Users",
        {"watching_boardsIDs": and_deleted("watching_boardsIDs", "Boards")},
        {"watching_boardsIDs": _orphaned},
        count=1,
        first=6,
    ),
    Shape(
        OldShape.DROPPED_FIELDS,
        "system_Modules_Enabled",
        {"icon": "userGroup", "open": "open", "route": "/crm", "menuItem": "CRM"},
        count=9,
    ),
)
"""Every old shape of a document that is known: seen in a real database, written by a version of the
application, or what follows from the history of its schema."""
