"""The enum types of the target schema, with their labels in order."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql as pg

from migration_assets.nextcrm.metadata import METADATA

ACTIVE_STATUS = pg.ENUM("ACTIVE", "INACTIVE", "PENDING", name="ActiveStatus", metadata=METADATA)
DOCUMENT_SYSTEM_TYPE = pg.ENUM(
    "INVOICE", "RECEIPT", "CONTRACT", "OFFER", "OTHER", name="DocumentSystemType", metadata=METADATA
)
LANGUAGE = pg.ENUM("cz", "en", "de", "uk", name="Language", metadata=METADATA)
CRM_CONTACT_TYPE = pg.ENUM(
    "Customer", "Partner", "Vendor", "Prospect", name="crm_Contact_Type", metadata=METADATA
)
CRM_CONTRACTS_STATUS = pg.ENUM(
    "NOTSTARTED", "INPROGRESS", "SIGNED", name="crm_Contracts_Status", metadata=METADATA
)
CRM_LEAD_STATUS = pg.ENUM(
    "NEW", "CONTACTED", "QUALIFIED", "LOST", name="crm_Lead_Status", metadata=METADATA
)
CRM_LEAD_TYPE = pg.ENUM("DEMO", name="crm_Lead_Type", metadata=METADATA)
CRM_OPPORTUNITY_STATUS = pg.ENUM(
    "ACTIVE", "INACTIVE", "PENDING", "CLOSED", name="crm_Opportunity_Status", metadata=METADATA
)
GPT_STATUS = pg.ENUM("ACTIVE", "INACTIVE", name="gptStatus", metadata=METADATA)
TASK_STATUS = pg.ENUM("ACTIVE", "PENDING", "COMPLETE", name="taskStatus", metadata=METADATA)
