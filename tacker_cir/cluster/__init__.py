# SPDX-License-Identifier: Apache-2.0
"""A kubeadm cluster on the VMs of one VNF instance."""
