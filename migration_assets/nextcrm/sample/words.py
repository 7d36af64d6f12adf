"""The vocabulary of the sample: names, places, sentences, and texts that loaders stumble over.

Only constants. What is drawn from them, and how often, stands in ``values`` and ``documents``.
"""

from __future__ import annotations

# ruff: noqa: RUF001 - letters of many scripts that look alike are the point of this file

FIRST_NAMES = (
    "Jana",
    "Petr",
    "Eliška",
    "Jiří",
    "Tomáš",
    "Žofie",
    "Ondřej",
    "Kateřina",
    "Vojtěch",
    "Šárka",
    "Anna",
    "Jürgen",
    "Käthe",
    "Björn",
    "Günther",
    "Sören",
    "Zoë",
    "François",
    "José",
    "Renée",
    "Олена",
    "Тарас",
    "Ірина",
    "Євген",
    "Ганна",
    "Юлія",
    "James",
    "Mary",
    "Sinéad",
    "O'Brien",
    "伟",
    "静",
    "太郎",
    "さくら",
    "민준",
    "서연",
    "محمد",
    "فاطمة",
    "דוד",
    "מרים",
    "Nguyễn",
    "Łukasz",
)
LAST_NAMES = (
    "Nováková", "Dvořák", "Černý", "Procházková", "Kučera", "Růžička", "Řezníček", "Šťastný",
    "Müller", "Schröder", "Groß", "Weiß", "Lüdenscheidt", "von der Heide", "D'Angelo", "Smith-Jones",
    "Шевченко", "Коваленко", "Бондаренко", "Її", "Мельник", "王", "李", "佐藤", "鈴木", "김", "박",
    "الأحمد", "כהן", "Østergård", "Ångström", "Şahin", "İnönü", "Brown", "Taylor", "McDonald",
)  # fmt: skip
COMPANIES = (
    "Škoda Díly", "Brünn Handels", "Київ Софт", "東京物流", "北京科技", "Älvsborg Trä", "Acme",
    "Fürst & Söhne", "O'Neill Foods", "Café Zürich", "Žižkov Media", "Północ", "شركة النور", "Globex",
    "Initech", "Vandelay \"Imports\"", "Moravia, Inc", "Data\\Flow", "100% Nature", "A&B <Labs>",
)  # fmt: skip
COMPANY_FORMS = ("s.r.o.", "a.s.", "GmbH", "AG", "ТОВ", "株式会社", "Ltd.", "Inc.", "S.A.", "OÜ")
CITIES = (
    "Praha", "Brno", "České Budějovice", "München", "Köln", "Wien", "Київ", "Львів", "Харків",
    "東京", "北京", "서울", "القاهرة", "תל אביב", "Kraków", "Malmö", "Genève", "São Paulo", "Boston",
)  # fmt: skip
STREETS = (
    "Na Příkopě", "Václavské nám.", "Straße des 17. Juni", "Königsallee", "вул. Хрещатик",
    "Rue de l'Église", "5th Avenue", "中央通り", "Nad Štolou", "Calle Ñuñoa",
)  # fmt: skip
COUNTRIES = ("Česko", "Deutschland", "Österreich", "Україна", "日本", "中国", "USA", "مصر", "ישראל")
COUNTRY_CODES = ("CZ", "DE", "AT", "UA", "JP", "CN", "US", "EG", "IL")
STATES = ("Jihomoravský kraj", "Bayern", "Київська область", "Kantō", "CA", "NRW", "Praha")
CURRENCIES = ("CZK", "EUR", "UAH", "USD", "JPY", "GBP")
CURRENCY_SYMBOLS = ("Kč", "€", "₴", "$", "¥", "£")
BANKS = ("Komerční banka", "Česká spořitelna", "Sparkasse Köln", "ПриватБанк", "みずほ銀行")
LANGUAGES = ("cs", "en", "de", "uk")
DOMAINS = ("example.com", "example.org", "příklad.example", "mail.example.cz", "firma.example.de")
PHONE_PREFIXES = ("+420", "+49", "+380", "+81", "+1", "00420", "0043")
JOBS = (
    "Jednatel", "Obchodní ředitelka", "Geschäftsführer", "Einkäuferin", "Головний бухгалтер",
    "CTO", "Head of Sales (EMEA)", "営業部長", "软件工程师", "مدير", "Assistant to the \"Big\" Boss",
)  # fmt: skip
SENTENCES = (
    "Zavolat zákazníkovi a domluvit termín.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Bitte die Unterlagen bis Freitag prüfen – größte Priorität!",
    "Angebot über 1.234,56 € verschickt.",
    "Надіслати рахунок і договір до п'ятниці.",
    "Підтверджено: зустріч о 14:30.",
    'Customer asked for a 10 % discount; see "Terms & Conditions".',
    "Path is C:\\crm\\import\\2024, tab\tseparated.",
    "見積書を送付しました。",
    "请尽快回复，谢谢。",
    "يرجى الاتصال بالعميل غدًا.",
    "נא לשלוח הצעת מחיר מעודכנת.",
    "Super 🎉 deal won 🚀👩‍💻🇨🇿",
    "Follow up in two weeks.",
    "Nothing to add.",
    "Invoice no. 000123 was paid twice, refund pending.",
    "1) call\n2) write\n3) sign",
)
TITLES = (
    "Uzavřít smlouvu", "Připravit nabídku", "Rechnung prüfen", "Rückruf", "Підготувати звіт",
    "Call back", "Prepare demo", "Renew licence", "Q3 review", "打ち合わせ", "合同审核", "اجتماع",
    "Fix: import (CSV)", "🔥 Urgent", "Kick-off \"Alpha\"", "Onboarding", "Follow-up",
)  # fmt: skip
TAGS = (
    "urgent", "vip", "import", "faktura", "smlouva", "wichtig", "терміново", "重要", "🔥", "q3/2024",
    "a,b", 'say "hi"', "back\\slash", "with space", "", "NULL",
)  # fmt: skip
PRIORITIES = ("low", "normal", "medium", "high", "critical", "urgent")
VISIBILITIES = ("public", "private", "team", "")
STATUSES = ("Active", "Inactive", "Pending", "New", "Done")
ACCOUNT_TYPES = ("Customer", "Partner", "Vendor", "Prospect")
LEAD_STATUSES = ("NEW", "CONTACTED", "QUALIFIED", "LOST")
LEAD_SOURCES = ("web", "e-mail", "veletrh", "Messe", "doporučení", "cold call")
INVOICE_TYPES = ("received", "issued", "proforma", "credit note")
ROSSUM_STATUSES = ("importing", "to_review", "reviewing", "exported", "failed_import")
MIME_TYPES = (
    "application/pdf",
    "image/png",
    "image/jpeg",
    "text/plain; charset=utf-8",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
)
FILE_NAMES = ("smlouva", "faktura č. 12", "Übersicht", "рахунок", "見積", "scan", "offer (final)")
EXTENSIONS = (".pdf", ".png", ".docx", ".PDF", "")
INDUSTRIES = (
    "Automotive", "Banking", "Chemie", "Obchod", "Energetika", "Освіта", "IT", "物流", "Zdravotnictví",
)  # fmt: skip
SALES_STAGES = ("Prospecting", "Qualification", "Nabídka", "Verhandlung", "Won", "Lost")
MODULES = ("crm", "projects", "invoices", "documents", "employees", "emails", "reports", "openai")
MODELS = ("gpt-3.5-turbo", "gpt-4", "gpt-4-32k", "text-davinci-003")
ICONS = ("📋", "🚀", "star", "")
GOODS = ("Licence", "Konzultace", "Beratung", "Послуги", "サーバー", 'Monitor 27"', "Kabel, 2 m")

AWKWARD_TEXTS = (
    "",
    " ",
    "  leading blanks",
    "trailing blanks  ",
    "\ttab first",
    "two\ttabs\there",
    "line\nbreak",
    "windows\r\nline break",
    "old mac\rline break",
    "ends with a line break\n",
    "\n\n",
    "\\.",
    "before\n\\.\nafter",
    "\\N",
    "\\\\",
    "C:\\new\\table\\x41\\101",
    "ends with a backslash\\",
    '"',
    '""',
    'say "hi"',
    "it's",
    "''",
    "a,b;c|d",
    "{}",
    "{NULL}",
    '{"a","b"}',
    "[]",
    "NULL",
    "null",
    "None",
    "undefined",
    "NaN",
    "true",
    "0",
    "007",
    "+420 777 123 456",
    "00420777123456",
    "-1",
    "1e5",
    "9223372036854775808",
    "2024-02-29T12:00:00Z",
    "507f1f77bcf86cd799439011",
    "013a7092-e8d8-7bcf-a1b3-5e650e404400",
    "=1+1",
    "%s %d %%",
    "$1 ${x} $$",
    ":name",
    "'; DROP TABLE x; --",
    "<script>alert(1)</script> &amp;",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Größe, Übermut, ẞ",
    "Ґанок, їжак, єнот",
    "漢字かなカナ한글",
    "𠮷野家 𝒳",
    "مرحبا بالعالم",
    "שלום עולם",
    "\u202eright to left override\u202c",
    "👩‍👩‍👧‍👦 🇺🇦 👍🏽",
    "é is one letter, e\u0301 is two",
    "\u0301 combining first",
    "no\u00a0break, zero\u200bwidth, \ufeffmark",
    "line\u2028separator, next\u0085line, form\ffeed, vertical\vtab",
    "control \x01\x1b\x1f\x7f\x80",
    "replacement \ufffd",
    "beyond \uffff \U0010ffff",
)
"""Texts that PostgreSQL holds, and that a careless COPY, CSV, JSON or array literal would damage."""

LONG_TEXTS = (
    "long " + 'Příliš žluťoučký kůň. \\ "x"\t{1,2}\n' * 1500,
    "長" * 17_000,
)
"""Texts of about 50 KB."""
