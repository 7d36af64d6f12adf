-- Tables with their primary keys. Generated from the model by `migration-assets sql`; do not edit.

CREATE TABLE IF NOT EXISTS "Users" (
  id UUID NOT NULL,
  __v INTEGER DEFAULT 0 NOT NULL,
  account_name TEXT,
  avatar TEXT,
  email TEXT NOT NULL,
  is_account_admin BOOLEAN DEFAULT false NOT NULL,
  is_admin BOOLEAN DEFAULT false NOT NULL,
  created_on TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
  "lastLoginAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  name TEXT,
  password TEXT,
  username TEXT,
  "userStatus" "ActiveStatus" DEFAULT 'PENDING' NOT NULL,
  "userLanguage" "Language" DEFAULT 'en' NOT NULL,
  CONSTRAINT "Users_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "Documents_Types" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  name TEXT NOT NULL,
  CONSTRAINT "Documents_Types_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "Employees" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  avatar TEXT NOT NULL,
  email TEXT,
  name TEXT NOT NULL,
  salary BIGINT NOT NULL,
  status TEXT NOT NULL,
  CONSTRAINT "Employees_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "ImageUpload" (
  id UUID NOT NULL,
  CONSTRAINT "ImageUpload_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "invoice_States" (
  id UUID NOT NULL,
  name TEXT NOT NULL,
  CONSTRAINT "invoice_States_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "MyAccount" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  company_name TEXT NOT NULL,
  is_person BOOLEAN DEFAULT false NOT NULL,
  email TEXT,
  email_accountant TEXT,
  phone_prefix TEXT,
  phone TEXT,
  mobile_prefix TEXT,
  mobile TEXT,
  fax_prefix TEXT,
  fax TEXT,
  website TEXT,
  street TEXT,
  city TEXT,
  state TEXT,
  zip TEXT,
  country TEXT,
  country_code TEXT,
  billing_street TEXT,
  billing_city TEXT,
  billing_state TEXT,
  billing_zip TEXT,
  billing_country TEXT,
  billing_country_code TEXT,
  currency TEXT,
  currency_symbol TEXT,
  "VAT_number" TEXT NOT NULL,
  "TAX_number" TEXT,
  bank_name TEXT,
  bank_account TEXT,
  bank_code TEXT,
  "bank_IBAN" TEXT,
  "bank_SWIFT" TEXT,
  CONSTRAINT "MyAccount_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "TodoList" (
  id UUID NOT NULL,
  "createdAt" TEXT NOT NULL,
  description TEXT NOT NULL,
  title TEXT NOT NULL,
  url TEXT NOT NULL,
  "user" TEXT NOT NULL,
  CONSTRAINT "TodoList_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "crm_Industry_Type" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  name TEXT NOT NULL,
  CONSTRAINT "crm_Industry_Type_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "crm_Opportunities_Sales_Stages" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  name TEXT NOT NULL,
  probability BIGINT,
  "order" BIGINT,
  CONSTRAINT "crm_Opportunities_Sales_Stages_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "crm_Opportunities_Type" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  name TEXT NOT NULL,
  "order" BIGINT,
  CONSTRAINT "crm_Opportunities_Type_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS crm_campaigns (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  name TEXT NOT NULL,
  description TEXT,
  status TEXT,
  CONSTRAINT crm_campaigns_pkey PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS gpt_models (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  model TEXT NOT NULL,
  description TEXT,
  status "gptStatus",
  created_on TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT gpt_models_pkey PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "modulStatus" (
  id UUID NOT NULL,
  name TEXT NOT NULL,
  "isVisible" BOOLEAN NOT NULL,
  CONSTRAINT "modulStatus_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "systemServices" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  name TEXT NOT NULL,
  "serviceUrl" TEXT,
  "serviceId" TEXT,
  "serviceKey" TEXT,
  "servicePassword" TEXT,
  "servicePort" TEXT,
  description TEXT,
  CONSTRAINT "systemServices_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "system_Modules_Enabled" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  name TEXT NOT NULL,
  enabled BOOLEAN NOT NULL,
  position INTEGER NOT NULL,
  CONSTRAINT "system_Modules_Enabled_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "Boards" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  description TEXT NOT NULL,
  favourite BOOLEAN,
  "favouritePosition" BIGINT,
  icon TEXT,
  position BIGINT,
  title TEXT NOT NULL,
  "user" UUID NOT NULL,
  visibility TEXT,
  "sharedWith" UUID[],
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "createdBy" UUID,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedBy" UUID,
  CONSTRAINT "Boards_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "openAi_keys" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  "user" UUID NOT NULL,
  organization_id TEXT NOT NULL,
  api_key TEXT NOT NULL,
  CONSTRAINT "openAi_keys_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "secondBrain_notions" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  "user" UUID NOT NULL,
  notion_api_key TEXT NOT NULL,
  notion_db_id TEXT NOT NULL,
  CONSTRAINT "secondBrain_notions_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "Documents" (
  id UUID NOT NULL,
  __v INTEGER,
  date_created TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  last_updated TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  document_name TEXT NOT NULL,
  created_by_user UUID,
  "createdBy" UUID,
  description TEXT,
  document_type UUID,
  favourite BOOLEAN,
  "document_file_mimeType" TEXT NOT NULL,
  document_file_url TEXT NOT NULL,
  status TEXT,
  visibility TEXT,
  tags JSONB,
  key TEXT,
  size INTEGER,
  assigned_user UUID,
  connected_documents TEXT[],
  document_system_type "DocumentSystemType" DEFAULT 'OTHER',
  CONSTRAINT "Documents_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "crm_Accounts" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
  "createdBy" UUID,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedBy" UUID,
  annual_revenue TEXT,
  assigned_to UUID,
  billing_city TEXT,
  billing_country TEXT,
  billing_postal_code TEXT,
  billing_state TEXT,
  billing_street TEXT,
  company_id TEXT,
  description TEXT,
  email TEXT,
  employees TEXT,
  fax TEXT,
  industry UUID,
  member_of TEXT,
  name TEXT NOT NULL,
  office_phone TEXT,
  shipping_city TEXT,
  shipping_country TEXT,
  shipping_postal_code TEXT,
  shipping_state TEXT,
  shipping_street TEXT,
  status TEXT DEFAULT 'Inactive',
  type TEXT DEFAULT 'Customer',
  vat TEXT,
  website TEXT,
  CONSTRAINT "crm_Accounts_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "BoardWatchers" (
  board_id UUID NOT NULL,
  user_id UUID NOT NULL,
  CONSTRAINT "BoardWatchers_pkey" PRIMARY KEY (board_id, user_id)
);

CREATE TABLE IF NOT EXISTS "Sections" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  board UUID NOT NULL,
  title TEXT NOT NULL,
  position BIGINT,
  CONSTRAINT "Sections_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "AccountWatchers" (
  account_id UUID NOT NULL,
  user_id UUID NOT NULL,
  CONSTRAINT "AccountWatchers_pkey" PRIMARY KEY (account_id, user_id)
);

CREATE TABLE IF NOT EXISTS "DocumentsToAccounts" (
  document_id UUID NOT NULL,
  account_id UUID NOT NULL,
  CONSTRAINT "DocumentsToAccounts_pkey" PRIMARY KEY (document_id, account_id)
);

CREATE TABLE IF NOT EXISTS "Invoices" (
  id UUID NOT NULL,
  __v INTEGER,
  date_created TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
  last_updated TIMESTAMP(3) WITHOUT TIME ZONE NOT NULL,
  last_updated_by UUID,
  date_received TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  date_of_case TIMESTAMP(3) WITHOUT TIME ZONE,
  date_tax TIMESTAMP(3) WITHOUT TIME ZONE,
  date_due TIMESTAMP(3) WITHOUT TIME ZONE,
  description TEXT,
  document_type TEXT,
  favorite BOOLEAN DEFAULT false,
  variable_symbol TEXT,
  constant_symbol TEXT,
  specific_symbol TEXT,
  order_number TEXT,
  internal_number TEXT,
  invoice_number TEXT,
  invoice_amount TEXT,
  "invoice_file_mimeType" TEXT NOT NULL,
  invoice_file_url TEXT NOT NULL,
  invoice_items JSONB,
  invoice_type TEXT,
  invoice_currency TEXT,
  invoice_language TEXT,
  partner TEXT,
  partner_street TEXT,
  partner_city TEXT,
  partner_zip TEXT,
  partner_country TEXT,
  partner_country_code TEXT,
  partner_business_street TEXT,
  partner_business_city TEXT,
  partner_business_zip TEXT,
  partner_business_country TEXT,
  partner_business_country_code TEXT,
  "partner_VAT_number" TEXT,
  "partner_TAX_number" TEXT,
  "partner_TAX_local_number" TEXT,
  partner_phone_prefix TEXT,
  partner_phone_number TEXT,
  partner_fax_prefix TEXT,
  partner_fax_number TEXT,
  partner_email TEXT,
  partner_website TEXT,
  partner_is_person BOOLEAN,
  partner_bank TEXT,
  partner_account_number TEXT,
  partner_account_bank_number TEXT,
  "partner_IBAN" TEXT,
  "partner_SWIFT" TEXT,
  "partner_BIC" TEXT,
  rossum_status TEXT,
  rossum_annotation_id TEXT,
  rossum_annotation_url TEXT,
  rossum_document_id TEXT,
  rossum_document_url TEXT,
  rossum_annotation_json_url TEXT,
  rossum_annotation_xml_url TEXT,
  money_s3_url TEXT,
  status TEXT,
  invoice_state_id UUID,
  assigned_user_id UUID,
  assigned_account_id UUID,
  visibility BOOLEAN DEFAULT true NOT NULL,
  CONSTRAINT "Invoices_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "crm_Accounts_Tasks" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  content TEXT,
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "createdBy" UUID,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedBy" UUID,
  "dueDateAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  priority TEXT NOT NULL,
  tags JSONB,
  title TEXT NOT NULL,
  likes BIGINT DEFAULT 0,
  "user" UUID,
  "taskStatus" "taskStatus" DEFAULT 'ACTIVE',
  account UUID,
  CONSTRAINT "crm_Accounts_Tasks_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "crm_Contacts" (
  id UUID NOT NULL,
  __v INTEGER DEFAULT 0 NOT NULL,
  account UUID,
  assigned_to UUID,
  birthday TEXT,
  created_by UUID,
  "createdBy" UUID,
  created_on TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "cratedAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  last_activity TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedBy" UUID,
  last_activity_by UUID,
  description TEXT,
  email TEXT,
  personal_email TEXT,
  first_name TEXT,
  last_name TEXT NOT NULL,
  office_phone TEXT,
  mobile_phone TEXT,
  website TEXT,
  position TEXT,
  status BOOLEAN DEFAULT true NOT NULL,
  social_twitter TEXT,
  social_facebook TEXT,
  social_linkedin TEXT,
  social_skype TEXT,
  social_instagram TEXT,
  social_youtube TEXT,
  social_tiktok TEXT,
  type TEXT DEFAULT 'Customer',
  tags TEXT[],
  notes TEXT[],
  "accountsIDs" UUID,
  CONSTRAINT "crm_Contacts_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "crm_Contracts" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  title TEXT NOT NULL,
  value INTEGER NOT NULL,
  "startDate" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "endDate" TIMESTAMP(3) WITHOUT TIME ZONE,
  "renewalReminderDate" TIMESTAMP(3) WITHOUT TIME ZONE,
  "customerSignedDate" TIMESTAMP(3) WITHOUT TIME ZONE,
  "companySignedDate" TIMESTAMP(3) WITHOUT TIME ZONE,
  description TEXT,
  account UUID,
  assigned_to UUID,
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "createdBy" UUID,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedBy" UUID,
  status "crm_Contracts_Status" DEFAULT 'NOTSTARTED' NOT NULL,
  type TEXT,
  CONSTRAINT "crm_Contracts_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "crm_Leads" (
  id UUID NOT NULL,
  __v INTEGER DEFAULT 0 NOT NULL,
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "createdBy" UUID,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedBy" UUID,
  "firstName" TEXT,
  "lastName" TEXT NOT NULL,
  company TEXT,
  "jobTitle" TEXT,
  email TEXT,
  phone TEXT,
  description TEXT,
  lead_source TEXT,
  refered_by TEXT,
  campaign TEXT,
  status TEXT DEFAULT 'NEW',
  type TEXT DEFAULT 'DEMO',
  assigned_to UUID,
  "accountsIDs" UUID,
  CONSTRAINT "crm_Leads_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "Tasks" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  content TEXT,
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "createdBy" UUID,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedBy" UUID,
  "dueDateAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "lastEditedAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  position BIGINT NOT NULL,
  priority TEXT NOT NULL,
  section UUID,
  tags JSONB,
  title TEXT NOT NULL,
  likes BIGINT DEFAULT 0,
  "user" UUID,
  "taskStatus" "taskStatus" DEFAULT 'ACTIVE',
  CONSTRAINT "Tasks_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "DocumentsToInvoices" (
  document_id UUID NOT NULL,
  invoice_id UUID NOT NULL,
  CONSTRAINT "DocumentsToInvoices_pkey" PRIMARY KEY (document_id, invoice_id)
);

CREATE TABLE IF NOT EXISTS "DocumentsToCrmAccountsTasks" (
  document_id UUID NOT NULL,
  crm_accounts_task_id UUID NOT NULL,
  CONSTRAINT "DocumentsToCrmAccountsTasks_pkey" PRIMARY KEY (document_id, crm_accounts_task_id)
);

CREATE TABLE IF NOT EXISTS "DocumentsToContacts" (
  document_id UUID NOT NULL,
  contact_id UUID NOT NULL,
  CONSTRAINT "DocumentsToContacts_pkey" PRIMARY KEY (document_id, contact_id)
);

CREATE TABLE IF NOT EXISTS "crm_Opportunities" (
  id UUID NOT NULL,
  __v INTEGER DEFAULT 0 NOT NULL,
  account UUID,
  assigned_to UUID,
  budget BIGINT DEFAULT 0 NOT NULL,
  campaign UUID,
  close_date TIMESTAMP(3) WITHOUT TIME ZONE,
  contact UUID,
  created_by UUID,
  "createdBy" UUID,
  created_on TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP,
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
  last_activity TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedAt" TIMESTAMP(3) WITHOUT TIME ZONE,
  "updatedBy" UUID,
  last_activity_by UUID,
  currency TEXT,
  description TEXT,
  expected_revenue BIGINT DEFAULT 0 NOT NULL,
  name TEXT,
  next_step TEXT,
  sales_stage UUID,
  type UUID,
  status "crm_Opportunity_Status" DEFAULT 'ACTIVE',
  CONSTRAINT "crm_Opportunities_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "DocumentsToLeads" (
  document_id UUID NOT NULL,
  lead_id UUID NOT NULL,
  CONSTRAINT "DocumentsToLeads_pkey" PRIMARY KEY (document_id, lead_id)
);

CREATE TABLE IF NOT EXISTS "DocumentsToTasks" (
  document_id UUID NOT NULL,
  task_id UUID NOT NULL,
  CONSTRAINT "DocumentsToTasks_pkey" PRIMARY KEY (document_id, task_id)
);

CREATE TABLE IF NOT EXISTS "tasksComments" (
  id UUID NOT NULL,
  __v INTEGER NOT NULL,
  comment TEXT NOT NULL,
  "createdAt" TIMESTAMP(3) WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
  task UUID NOT NULL,
  "user" UUID NOT NULL,
  assigned_crm_account_task UUID,
  CONSTRAINT "tasksComments_pkey" PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS "ContactsToOpportunities" (
  contact_id UUID NOT NULL,
  opportunity_id UUID NOT NULL,
  CONSTRAINT "ContactsToOpportunities_pkey" PRIMARY KEY (contact_id, opportunity_id)
);

CREATE TABLE IF NOT EXISTS "DocumentsToOpportunities" (
  document_id UUID NOT NULL,
  opportunity_id UUID NOT NULL,
  CONSTRAINT "DocumentsToOpportunities_pkey" PRIMARY KEY (document_id, opportunity_id)
);
