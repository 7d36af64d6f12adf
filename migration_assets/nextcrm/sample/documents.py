"""The documents of a collection, in the order of their numbers, as the application would have stored them.

Here belongs what a field of NextCRM means: a name, an e-mail address, a price. Fields that nobody
describes get values by their rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from random import Random
from types import MappingProxyType

from bson import Int64, ObjectId

from migration_assets.model import Rule, Source, sources
from migration_assets.nextcrm import ENTITIES
from migration_assets.nextcrm.sample import words
from migration_assets.nextcrm.sample.population import LEAST, Population
from migration_assets.nextcrm.sample.relations import Relations
from migration_assets.nextcrm.sample.values import (
    ABSENT,
    Draw,
    SampleField,
    field_of,
    moment,
    pick,
    several,
    whole,
)

Document = dict[str, object]

_YEAR = 365 * 86_400

# ruff: noqa: ARG001 - what draws takes the number and the time, whether it needs them or not


def _written(template: str, **parts: Draw) -> Draw:
    """Returns what draws a text from a template and what draws its parts."""
    names = tuple(parts)
    draws = tuple(parts.values())

    def draw(random: Random, number: int, created: datetime) -> object:
        values = [part(random, number, created) for part in draws]
        return template.format_map(dict(zip(names, values, strict=True)))

    return draw


def _digits(count: int) -> Draw:
    size = 10**count
    return lambda random, _number, _created: f"{int(random.random() * size):0{count}}"


def _number(_random: Random, number: int, _created: datetime) -> object:
    return number


def _prose(random: Random, number: int, created: datetime) -> object:
    count = 1 + int(random.random() * random.random() * 12)
    size = len(words.SENTENCES)
    separator = "\n" if count > 4 else " "
    return separator.join([words.SENTENCES[int(random.random() * size)] for _ in range(count)])


def _birthday(random: Random, number: int, created: datetime) -> object:
    year, month, day = (int(random.random() * size) for size in (70, 12, 28))
    return f"{1940 + year}-{1 + month:02}-{1 + day:02}"


def _created_text(random: Random, number: int, created: datetime) -> object:
    return f"{created.isoformat()}.{int(random.random() * 1000):03}Z"


def _item(random: Random, number: int, created: datetime) -> object:
    quantity = 1 + int(random.random() * 20)
    price = random.random() * 10 ** int(random.random() * 6)
    return {
        "position": 1 + int(random.random() * 99),
        "description": words.GOODS[int(random.random() * len(words.GOODS))],
        "quantity": quantity,
        "unit_price": price,
        "total": price * quantity,
        "stock_id": Int64(random.getrandbits(52)),
        "delivered": created + timedelta(milliseconds=random.getrandbits(36)),
        "vat": {"rate": 21, "included": random.random() < 0.5, "note": None},
        "discounts": [],
        "attributes": {},
        "product": ObjectId(random.randbytes(12)),
    }


_FIRST_NAME = pick(words.FIRST_NAMES)
_LAST_NAME = pick(words.LAST_NAMES)
_PERSON = _written("{first} {last}", first=_FIRST_NAME, last=_LAST_NAME)
_COMPANY = _written("{name} {form}", name=pick(words.COMPANIES), form=pick(words.COMPANY_FORMS))
_CITY = pick(words.CITIES)
_COUNTRY = pick(words.COUNTRIES)
_COUNTRY_CODE = pick(words.COUNTRY_CODES)
_STATE = pick(words.STATES)
_STREET = _written("{street} {house}", street=pick(words.STREETS), house=whole(1, 2500))
_POSTAL_CODE = _digits(5)
_PREFIX = pick(words.PHONE_PREFIXES)
_LOCAL_NUMBER = _digits(9)
_PHONE = _written("{prefix} {number}", prefix=_PREFIX, number=_LOCAL_NUMBER)
_DOMAIN = pick(words.DOMAINS)
_EMAIL = _written("contact.{local}@{domain}", local=_digits(6), domain=_DOMAIN)
_UNIQUE_EMAIL = _written("user.{number}@{domain}", number=_number, domain=_DOMAIN)
_WEBSITE = _written("https://www.{domain}/~{local}", domain=_DOMAIN, local=_digits(3))
_HANDLE = _written(
    "@{name}_{number}", name=pick(("crm", "joe", "žofie", "вася")), number=_digits(3)
)
_FILE_NAME = _written("{name}{end}", name=pick(words.FILE_NAMES), end=pick(words.EXTENSIONS))
_FILE_URL = _written("https://storage.example.com/{key}/{name}", key=_digits(12), name=_FILE_NAME)
_AMOUNT = _written("{whole}.{part}", whole=whole(0, 250_000), part=_digits(2))
_VAT_NUMBER = _written("{country}{number}", country=_COUNTRY_CODE, number=_digits(8))
_SWIFT = _written("{bank}{country}PP", bank=pick(("KOMB", "GIBA", "DEUT")), country=_COUNTRY_CODE)
_IBAN = _written(
    "CZ{check} {bank} {account}", check=_digits(2), bank=_digits(4), account=_digits(16)
)
_CREATED = moment(0, 1)
_CHANGED = moment(60, _YEAR)
_DUE = moment(86_400, 90 * 86_400)

_TEXTS: Mapping[str, Draw] = MappingProxyType(
    {
        "TAX_number": _VAT_NUMBER,
        "VAT_number": _VAT_NUMBER,
        "account_name": _COMPANY,
        "annual_revenue": _AMOUNT,
        "avatar": _FILE_URL,
        "bank_IBAN": _IBAN,
        "bank_SWIFT": _SWIFT,
        "bank_account": _digits(10),
        "bank_code": _digits(4),
        "bank_name": pick(words.BANKS),
        "billing_city": _CITY,
        "billing_country": _COUNTRY,
        "billing_country_code": _COUNTRY_CODE,
        "billing_postal_code": _POSTAL_CODE,
        "billing_state": _STATE,
        "billing_street": _STREET,
        "billing_zip": _POSTAL_CODE,
        "birthday": _birthday,
        "campaign": pick(words.TITLES),
        "city": _CITY,
        "comment": _prose,
        "company": _COMPANY,
        "company_id": _digits(8),
        "company_name": _COMPANY,
        "constant_symbol": _digits(4),
        "content": _prose,
        "country": _COUNTRY,
        "country_code": _COUNTRY_CODE,
        "currency": pick(words.CURRENCIES),
        "currency_symbol": pick(words.CURRENCY_SYMBOLS),
        "description": _prose,
        "document_file_mimeType": pick(words.MIME_TYPES),
        "document_file_url": _FILE_URL,
        "document_name": _FILE_NAME,
        "document_type": pick(words.INVOICE_TYPES),
        "email": _EMAIL,
        "email_accountant": _EMAIL,
        "employees": pick(("1-10", "11-50", "51-200", "200+", "7")),
        "fax": _PHONE,
        "fax_prefix": _PREFIX,
        "firstName": _FIRST_NAME,
        "first_name": _FIRST_NAME,
        "icon": pick(words.ICONS),
        "internal_number": _digits(6),
        "invoice_amount": _AMOUNT,
        "invoice_currency": pick(words.CURRENCIES),
        "invoice_file_mimeType": pick(words.MIME_TYPES),
        "invoice_file_url": _FILE_URL,
        "invoice_language": pick(words.LANGUAGES),
        "invoice_number": _written("FV-{year}-{number}", year=whole(2021, 2024), number=_digits(6)),
        "invoice_type": pick(words.INVOICE_TYPES),
        "jobTitle": pick(words.JOBS),
        "key": _written("uploads/{key}", key=_digits(16)),
        "lastName": _LAST_NAME,
        "last_name": _LAST_NAME,
        "lead_source": pick(words.LEAD_SOURCES),
        "member_of": _COMPANY,
        "mobile": _PHONE,
        "mobile_phone": _PHONE,
        "mobile_prefix": _PREFIX,
        "model": pick(words.MODELS),
        "money_s3_url": _FILE_URL,
        "name": _PERSON,
        "next_step": pick(words.TITLES),
        "notion_db_id": _digits(32),
        "office_phone": _PHONE,
        "order_number": _digits(7),
        "organization_id": _written("org-{number}", number=_digits(12)),
        "partner": _COMPANY,
        "partner_BIC": _SWIFT,
        "partner_IBAN": _IBAN,
        "partner_SWIFT": _SWIFT,
        "partner_TAX_local_number": _VAT_NUMBER,
        "partner_TAX_number": _VAT_NUMBER,
        "partner_VAT_number": _VAT_NUMBER,
        "partner_account_number": _digits(10),
        "partner_account_bank_number": _digits(4),
        "partner_bank": pick(words.BANKS),
        "partner_business_city": _CITY,
        "partner_business_country": _COUNTRY,
        "partner_business_country_code": _COUNTRY_CODE,
        "partner_business_street": _STREET,
        "partner_business_zip": _POSTAL_CODE,
        "partner_city": _CITY,
        "partner_country": _COUNTRY,
        "partner_country_code": _COUNTRY_CODE,
        "partner_email": _EMAIL,
        "partner_fax_number": _LOCAL_NUMBER,
        "partner_fax_prefix": _PREFIX,
        "partner_phone_number": _LOCAL_NUMBER,
        "partner_phone_prefix": _PREFIX,
        "partner_street": _STREET,
        "partner_website": _WEBSITE,
        "partner_zip": _POSTAL_CODE,
        "personal_email": _EMAIL,
        "phone": _PHONE,
        "phone_prefix": _PREFIX,
        "position": pick(words.JOBS),
        "priority": pick(words.PRIORITIES),
        "refered_by": _PERSON,
        "rossum_annotation_id": _digits(7),
        "rossum_annotation_json_url": _FILE_URL,
        "rossum_annotation_url": _FILE_URL,
        "rossum_annotation_xml_url": _FILE_URL,
        "rossum_document_id": _digits(7),
        "rossum_document_url": _FILE_URL,
        "rossum_status": pick(words.ROSSUM_STATUSES),
        "serviceId": _digits(8),
        "servicePort": _digits(4),
        "serviceUrl": _WEBSITE,
        "shipping_city": _CITY,
        "shipping_country": _COUNTRY,
        "shipping_postal_code": _POSTAL_CODE,
        "shipping_state": _STATE,
        "shipping_street": _STREET,
        "social_facebook": _HANDLE,
        "social_instagram": _HANDLE,
        "social_linkedin": _HANDLE,
        "social_skype": _HANDLE,
        "social_tiktok": _HANDLE,
        "social_twitter": _HANDLE,
        "social_youtube": _HANDLE,
        "specific_symbol": _digits(10),
        "state": _STATE,
        "status": pick(words.STATUSES),
        "street": _STREET,
        "title": pick(words.TITLES),
        "type": pick(words.ACCOUNT_TYPES),
        "url": _WEBSITE,
        "username": _written("user{number}", number=_digits(5)),
        "variable_symbol": _digits(10),
        "vat": _VAT_NUMBER,
        "visibility": pick(words.VISIBILITIES),
        "website": _WEBSITE,
        "zip": _POSTAL_CODE,
    }
)

_NUMBERS: Mapping[str, Draw] = MappingProxyType(
    {
        "__v": pick((0, 0, 0, 0, 0, 0, 0, 1, 2, 17)),
        "budget": whole(0, 5_000_000),
        "expected_revenue": whole(0, 20_000_000),
        "favouritePosition": whole(0, 20),
        "likes": whole(0, 50),
        "order": whole(1, 12),
        "position": whole(0, 60),
        "probability": whole(0, 100),
        "salary": whole(20_000, 250_000),
        "size": whole(0, 40_000_000),
        "value": whole(0, 3_000_000),
    }
)

_TIMES: Mapping[str, Draw] = MappingProxyType(
    {
        "cratedAt": _CREATED,
        "createdAt": _CREATED,
        "created_on": _CREATED,
        "date_created": _CREATED,
        "date_due": _DUE,
        "dueDateAt": _DUE,
        "lastEditedAt": _CHANGED,
        "lastLoginAt": _CHANGED,
        "last_activity": _CHANGED,
        "last_updated": _CHANGED,
        "updatedAt": _CHANGED,
    }
)

_BY_RULE: Mapping[Rule, Mapping[str, Draw]] = MappingProxyType(
    {
        Rule.TEXT: _TEXTS,
        Rule.INTEGER: _NUMBERS,
        Rule.BIGINT: _NUMBERS,
        Rule.TIMESTAMP: _TIMES,
        Rule.JSON: {"invoice_items": several(_item, 5)},
    }
)
"""Ordinary values of the fields of this name, in any collection."""

_BY_FIELD: Mapping[tuple[str, str], Draw] = MappingProxyType(
    {
        ("TodoList", "createdAt"): _created_text,
        ("Users", "email"): _UNIQUE_EMAIL,
        ("crm_Accounts", "name"): _COMPANY,
        ("crm_Industry_Type", "name"): pick(words.INDUSTRIES),
        ("crm_Leads", "status"): pick(words.LEAD_STATUSES),
        ("crm_Leads", "type"): pick(("DEMO",)),
        ("crm_Opportunities", "name"): pick(words.TITLES),
        ("crm_Opportunities_Sales_Stages", "name"): pick(words.SALES_STAGES),
        ("crm_campaigns", "name"): pick(words.TITLES),
        ("invoice_States", "name"): pick(words.STATUSES),
        ("modulStatus", "name"): pick(words.MODULES),
        ("system_Modules_Enabled", "name"): pick(words.MODULES),
        ("systemServices", "name"): pick(words.MODULES),
    }
)
"""Ordinary values of one field of one collection; it comes before ``_BY_RULE``."""


def described(collection: str, source: Source) -> Draw | None:
    """Returns what draws the ordinary values of a field, None where nobody describes it."""
    draw = _BY_FIELD.get((collection, source.field))
    if draw is not None or source.secret:
        return draw
    return _BY_RULE.get(source.rule, {}).get(source.field)


class SampleCollection:
    """A collection of the sample.

    Attributes:
        name: Its name.
        fields: Its fields apart from `_id` and the arrays of its relations.
    """

    def __init__(self, name: str, population: Population) -> None:
        self.name = name
        self.fields: tuple[SampleField, ...] = tuple(
            field_of(name, source, population, described(name, source))
            for source in sources(ENTITIES[name]).values()
            if source.rule is not Rule.KEY
        )
        self._population = population
        self._relations = Relations(population, name)

    def documents(self) -> Iterator[Document]:
        """Yields the documents in the order of their numbers."""
        ids = self._population.ids(self.name)
        random = self._population.random(self.name)
        stride = len(ids) // LEAST
        draws = [(field.name, field.draw) for field in self.fields]
        turns = {
            stride * turn: [(field.name, field.turns[turn]) for field in self.fields]
            for turn in range(LEAST)
        }
        for number in range(len(ids)):
            document: Document = {"_id": ids[number]}
            _draw(document, turns.get(number, draws), random, number, ids.created(number))
            self._relations.fill(document, number)
            yield document

    def document(self, identifier: object, number: int, created: datetime) -> Document:
        """Returns a document of ordinary values, without the arrays of its relations.

        Args:
            identifier: Its `_id`.
            number: A number that no other document has; its values depend on it.
            created: When it was created.
        """
        document: Document = {"_id": identifier}
        draws = [(field.name, field.ordinary) for field in self.fields]
        _draw(document, draws, self._population.random(self.name, number), number, created)
        return document


def _draw(
    document: Document,
    draws: list[tuple[str, Draw]],
    random: Random,
    number: int,
    created: datetime,
) -> None:
    for name, draw in draws:
        value = draw(random, number, created)
        if value is not ABSENT:
            document[name] = value
