# SPDX-License-Identifier: Apache-2.0
"""Nova's ``instances`` table, as its migrations really make it.

Written down from the schema that ``nova-manage db sync`` leaves behind, not
from ``nova/db/main/models.py``: the model lacks columns that the table has
(``internal_id``). Columns and indexes are the same in Nova 31 to 34, on
SQLite and on MariaDB; a functional test compares them with what the
migrations of each supported release make.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

__all__ = ["instances", "metadata"]

metadata: Final = sa.MetaData()

_MediumText = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

instances: Final = sa.Table(
    "instances",
    metadata,
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("deleted_at", sa.DateTime),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("internal_id", sa.Integer),
    sa.Column("user_id", sa.String(255)),
    sa.Column("project_id", sa.String(255)),
    sa.Column("image_ref", sa.String(255)),
    sa.Column("kernel_id", sa.String(255)),
    sa.Column("ramdisk_id", sa.String(255)),
    sa.Column("launch_index", sa.Integer),
    sa.Column("key_name", sa.String(255)),
    sa.Column("key_data", _MediumText),
    sa.Column("power_state", sa.Integer),
    sa.Column("vm_state", sa.String(255)),
    sa.Column("memory_mb", sa.Integer),
    sa.Column("vcpus", sa.Integer),
    sa.Column("hostname", sa.String(255)),
    sa.Column("host", sa.String(255)),
    sa.Column("user_data", _MediumText),
    sa.Column("reservation_id", sa.String(255)),
    sa.Column("launched_at", sa.DateTime),
    sa.Column("terminated_at", sa.DateTime),
    sa.Column("display_name", sa.String(255)),
    sa.Column("display_description", sa.String(255)),
    sa.Column("availability_zone", sa.String(255)),
    sa.Column("locked", sa.Boolean),
    sa.Column("os_type", sa.String(255)),
    sa.Column("launched_on", _MediumText),
    sa.Column("instance_type_id", sa.Integer),
    sa.Column("vm_mode", sa.String(255)),
    sa.Column("uuid", sa.String(36), nullable=False),
    sa.Column("architecture", sa.String(255)),
    sa.Column("root_device_name", sa.String(255)),
    sa.Column("access_ip_v4", sa.String(39)),
    sa.Column("access_ip_v6", sa.String(39)),
    sa.Column("config_drive", sa.String(255)),
    sa.Column("task_state", sa.String(255)),
    sa.Column("default_ephemeral_device", sa.String(255)),
    sa.Column("default_swap_device", sa.String(255)),
    sa.Column("progress", sa.Integer),
    sa.Column("auto_disk_config", sa.Boolean),
    sa.Column("shutdown_terminate", sa.Boolean),
    sa.Column("disable_terminate", sa.Boolean),
    sa.Column("root_gb", sa.Integer),
    sa.Column("ephemeral_gb", sa.Integer),
    sa.Column("cell_name", sa.String(255)),
    sa.Column("node", sa.String(255)),
    sa.Column("deleted", sa.Integer),
    sa.Column(
        "locked_by", sa.Enum("owner", "admin", name="instances0locked_by")
    ),
    sa.Column("cleaned", sa.Integer),
    sa.Column("ephemeral_key_uuid", sa.String(36)),
    sa.Column("hidden", sa.Boolean),
    sa.Column("compute_id", sa.BigInteger),
    sa.UniqueConstraint("uuid", name="uniq_instances0uuid"),
    sa.Index("instances_project_id_idx", "project_id"),
    sa.Index("instances_project_id_deleted_idx", "project_id", "deleted"),
    sa.Index("instances_reservation_id_idx", "reservation_id"),
    sa.Index(
        "instances_terminated_at_launched_at_idx",
        "terminated_at",
        "launched_at",
    ),
    sa.Index("instances_uuid_deleted_idx", "uuid", "deleted"),
    sa.Index(
        "instances_task_state_updated_at_idx", "task_state", "updated_at"
    ),
    sa.Index("instances_host_node_deleted_idx", "host", "node", "deleted"),
    sa.Index(
        "instances_host_deleted_cleaned_idx", "host", "deleted", "cleaned"
    ),
    sa.Index("instances_deleted_created_at_idx", "deleted", "created_at"),
    sa.Index(
        "instances_updated_at_project_id_idx", "updated_at", "project_id"
    ),
    sa.Index("instances_compute_id_deleted_idx", "compute_id", "deleted"),
    # What Nova's initial migration asks for; the server's default for the
    # rest (collation, row format).
    mysql_engine="InnoDB",
    mysql_charset="utf8",
    mariadb_engine="InnoDB",
    mariadb_charset="utf8",
)
