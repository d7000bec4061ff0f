# SPDX-License-Identifier: Apache-2.0
"""Kubernetes for the lab, built from the distribution's source package.

No binary package and no image registry that the lab can count on has kubeadm, kubelet or the
control plane. Debian 12's source package `kubernetes` has them all, in release 1.20.2:
  programs.py      the compiled programs
  debs.py          packages with the names and files of the Kubernetes project's own
  repository.py    a signed repository of these packages and what they need from Debian
  archives.py      the images that a control plane consists of, as `docker save` writes them
  go/              the lab's own programs: stand-ins, a network of pods, an application
  proof.py         tests that all this makes clusters
All of it is kept in the cache; `python -m tests.testbed.kubernetes build` makes it.
"""
