# SPDX-License-Identifier: Apache-2.0
"""What the lab's tests stand on: machines, an OpenStack with Tacker, and a Kubernetes for them.

It knows nothing of tests or of the drivers, but which Kubernetes versions these take. From the
bottom to the top; a room uses only rooms below it:

- :mod:`tests.testbed.machines` - machines with systemd and sshd in a network namespace, their
  packages and images;
- :mod:`tests.testbed.kubernetes` - a release of Kubernetes, compiled or fetched: packages, images,
  pod network;
- :mod:`tests.testbed.cloud` - Keystone, Heat and Tacker, with what stands in for the other
  services;
- :mod:`~tests.testbed.kubernetes_site`, :mod:`~tests.testbed.stand` - what one run of the lab has;
- :mod:`~tests.testbed.preparation` - everything that these need, made once.
"""
