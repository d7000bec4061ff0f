# SPDX-License-Identifier: Apache-2.0
"""Pure functions: values in, the text of a file out."""
