#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Stand-ins for what a node has: every program answers at once, as the real one would on a machine
# where its work takes no time. Called by the name of the program that it stands for; the install
# script is among them. What must be remembered is in /state (this machine) and /shared (the
# cluster).

# What the driver asks of an install script before it takes it.
readonly NODE_SCRIPT_PROTOCOL=1

nodes() {
  printf '{"apiVersion": "v1", "kind": "List", "items": ['
  comma=
  for node in /shared/nodes/*; do
    printf '%s' "$comma"
    cat "$node"
    comma=,
  done
  printf ']}\n'
}

node() {
  printf '{"metadata": {"name": "%s", "labels": {"node-role.kubernetes.io/control-plane": ""}},' "$1"
  printf ' "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}],'
  printf ' "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],'
  printf ' "nodeInfo": {"kubeletVersion": "v1.34.8"}}}'
}

# object KIND NAME: what is there of it.
object() {
  if [ -e "/shared/$1-$2" ]; then cat "/shared/$1-$2"; fi
}

objects() {
  printf '{"kind": "List", "items": ['
  comma=
  for name; do
    file=/shared/${name%/*}-${name#*/}
    if [ -e "$file" ]; then
      printf '%s' "$comma"
      cat "$file"
      comma=,
    fi
  done
  printf ']}\n'
}

kubectl() {
  verb=get kind= name= several=
  for word; do
    case $word in
      -* | /*) ;;
      */*) several="$several $word" ;;
      get) kind=next ;;
      delete) verb=delete kind=next ;;
      apply) kind=apply ;;
      *)
        if [ "$kind" = next ]; then
          kind=$word
        elif [ -n "$kind" ] && [ -z "$name" ]; then
          name=$word
        fi ;;
    esac
  done
  case $verb:$kind in
    *:apply) apply ;;
    *:nodes) nodes ;;
    delete:node) rm -f "/shared/nodes/$name" ;;
    get:node) if [ -e "/shared/nodes/$name" ]; then cat "/shared/nodes/$name"; fi ;;
    *:next) objects $several ;;
    *) object "$kind" "$name" ;;
  esac
}

apply() {
  manifest=$(cat)
  case $manifest in
    *tacker-cir-admin*) cp /shared/admin/* /shared ;;
    *) printf '%s\n' "$manifest" >/shared/configmap-tacker-cir ;;
  esac
  echo "something configured"
}

kubeadm() {
  case "$1 $2" in
    "token create") echo abcdef.0123456789abcdef ;;
    "config images") echo "registry.k8s.io/pause:3.10" ;;
    *) cat >/dev/null ;;
  esac
}

# What its file says, and the default that matters where it does not.
containerd() {
  case $* in
    *'config dump')
      file=/etc/containerd/config.toml
      if [ -e "$file" ]; then cat "$file"; else echo 'version = 2'; fi
      grep -qs 'cni' "$file" ||
        printf '[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/opt/cni/bin"\n' ;;
    *) echo "containerd containerd.io 1.7.27 0123456789abcdef" ;;
  esac
}

ctr() { echo "io.containerd.grpc.v1 cri linux/amd64 ok"; }

systemctl() {
  case $1 in
    is-active) [ "$2" = containerd ] && echo active || echo inactive ;;
    is-enabled) echo enabled ;;
  esac
}

install_k8s_cluster() {
  changed=true
  case $1 in
    install) if [ -e /state/installed ]; then changed=false; else : >/state/installed; fi ;;
    init)
      mkdir -p /etc/kubernetes/pki
      cp /shared/ca.crt /etc/kubernetes/pki/ca.crt
      become_member init ;;
    join) become_member join ;;
  esac
  printf '{"step": "%s", "changed": %s, "container": true}\n' "$1" "$changed"
}

become_member() {
  mkdir -p /etc/kubernetes /var/lib/kubelet
  read -r name </state/name
  node "$name" >"/shared/nodes/$name"
  : >/var/lib/kubelet/config.yaml
  echo "$1" >/etc/kubernetes/tacker-cir-node
}

case ${0##*/} in
  install_k8s_cluster.sh) install_k8s_cluster "$@" ;;
  dpkg) [ "$1" = --audit ] || echo amd64 ;;
  containerd | kubectl | kubeadm | ctr | systemctl) "${0##*/}" "$@" ;;
esac
