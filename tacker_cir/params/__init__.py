# SPDX-License-Identifier: Apache-2.0
"""``additionalParams`` of a request: checked as a whole, then handed on as typed objects."""
