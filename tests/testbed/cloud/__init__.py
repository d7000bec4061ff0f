# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack for the lab: Keystone, Heat, Barbican and Tacker, over RabbitMQ and MariaDB."""
