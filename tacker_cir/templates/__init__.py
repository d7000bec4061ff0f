# SPDX-License-Identifier: Apache-2.0
"""What the templates of a VNF package say: its VNFD, its base HOTs and its UserData.

They are others' documents: of any shape, read within bounds before (:mod:`tacker_cir.documents`).
What does not have the shape that is looked for is as if it were not there.
"""
