"""Project boards, their sections and tasks, comments and to-do lists.

Each column names its MongoDB field (the same name, `id` from `_id`), its type and its rule.
"""

from __future__ import annotations

import sqlalchemy as sa

from migration_assets.model.columns import (
    NOW,
    bigint,
    boolean,
    choice,
    json,
    key,
    reference,
    reference_array,
    reference_text,
    text,
    timestamp,
    version,
)
from migration_assets.model.tables import entity
from migration_assets.nextcrm import enums
from migration_assets.nextcrm.metadata import METADATA

GROUP = "projects"

boards = entity(
    "Boards",
    METADATA,
    GROUP,
    key(),
    version(),
    text("description", required=True),
    boolean("favourite", index=True),
    bigint("favouritePosition"),
    text("icon"),
    bigint("position"),
    text("title", required=True),
    reference("user", "Users", required=True, index=True),
    text("visibility", index=True),
    reference_array("sharedWith", "Users"),
    timestamp("createdAt", default=NOW, index=True),
    reference("createdBy", "Users", foreign_key=False, index=True),
    timestamp("updatedAt"),
    reference("updatedBy", "Users", foreign_key=False, index=True),
    sa.Index(None, "user", "favourite"),
)

sections = entity(
    "Sections",
    METADATA,
    GROUP,
    key(),
    version(),
    reference("board", "Boards", required=True, index=True),
    text("title", required=True),
    bigint("position"),
)

tasks = entity(
    "Tasks",
    METADATA,
    GROUP,
    key(),
    version(),
    text("content"),
    timestamp("createdAt", default=NOW, index=True),
    reference("createdBy", "Users", foreign_key=False, index=True),
    timestamp("updatedAt"),
    reference("updatedBy", "Users", foreign_key=False, index=True),
    timestamp("dueDateAt", default=NOW, index=True),
    timestamp("lastEditedAt", default=NOW),
    bigint("position", required=True),
    text("priority", required=True, index=True),
    reference("section", "Sections", index=True),
    json("tags"),
    text("title", required=True),
    bigint("likes", default=0),
    reference("user", "Users", index=True),
    choice("taskStatus", enums.TASK_STATUS, default="ACTIVE", index=True),
    sa.Index(None, "user", "taskStatus"),
)

tasks_comments = entity(
    "tasksComments",
    METADATA,
    GROUP,
    key(),
    version(),
    text("comment", required=True),
    timestamp("createdAt", required=True, default=NOW),
    reference("task", "Tasks", required=True, on_delete="CASCADE", index=True),
    reference("user", "Users", required=True, index=True),
    reference("assigned_crm_account_task", "crm_Accounts_Tasks", index=True),
)

todo_list = entity(
    "TodoList",
    METADATA,
    GROUP,
    key(),
    text("createdAt", required=True, derived=True),
    text("description", required=True),
    text("title", required=True),
    text("url", required=True),
    reference_text("user", "Users", required=True),
)
