#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes a Debian or Ubuntu machine a node of a Kubernetes cluster that kubeadm(8) manages.
#
#   install --kubernetes-version V --container-runtime R --packages repository|image
#           --hostname NAME [--key-url URL --keyring FILE]
#   pull    --config FILE --container-runtime R [--worker]
#   init    --config FILE --container-runtime R
#   join    --config FILE --container-runtime R
#   network [--manifest FILE]
#   reset   --container-runtime R
#
# V is a full version (1.34.8), R is docker or containerd. FILE is of kubeadm's or kubectl's own
# format; "-" is the standard input.
#
# Each step does only what is missing, so every one may be run again, also after a cut.
# Progress goes to standard error and to /var/log/tacker-cir-node.log. The only line on standard output is a JSON object with the
# members "step" (the word above) and "changed" (false if nothing was to be done).
# Exit status: 0 done, 75 somebody else is at work here (apt, or an earlier run): try again later,
# 2 wrong use, anything else a failure. No secret is taken as an argument, or printed.

set -Eeuo pipefail

# What tacker_cir looks for before it uses a script: raise it when the above changes.
# shellcheck disable=SC2034
readonly NODE_SCRIPT_PROTOCOL=1
# The runtimes that choose_runtime below knows: a request for another one is refused before there is
# a machine.
readonly NODE_SCRIPT_RUNTIMES=(docker containerd)

# The network of pods where no manifest is given. This release is tested by its makers with
# Kubernetes 1.32 to 1.35; it finds the pods' range in kubeadm's configuration.
readonly CALICO_MANIFEST=https://raw.githubusercontent.com/projectcalico/calico/v3.31.3/manifests/calico.yaml

readonly PROGRAMS=(kubelet kubeadm kubectl)
# Programs that kubeadm's checks and the kubelet call, whatever the packages above depend on.
readonly COMPANIONS=(conntrack ethtool iptables socat)
# What the distributions' runtimes only recommend: a kernel with AppArmor starts no container
# without its parser, and a pull over HTTPS needs certificates.
readonly RUNTIME_COMPANIONS=(apparmor ca-certificates)

readonly ADMIN_CONF=/etc/kubernetes/admin.conf
readonly KUBELET_CONF=/etc/kubernetes/kubelet.conf
# Written when this node is a member; holds the step (init, join) that made it one.
readonly MARKER=/etc/kubernetes/tacker-cir-node
# Written before kubeadm begins here: what it leaves where it is cut off is ours to undo.
readonly BEGUN=/etc/kubernetes/tacker-cir-begun
# There where a machine belongs to a cluster, whoever made it: by kubeadm, or another way.
readonly TRACES=("$KUBELET_CONF" "$ADMIN_CONF" /etc/kubernetes/bootstrap-kubelet.conf
    /etc/kubernetes/manifests/*.yaml /var/lib/etcd/member /var/lib/kubelet/kubeconfig
    /etc/rancher/k3s /etc/rancher/rke2 /var/lib/k0s /var/snap/microk8s)
# In /run and root's alone: whoever can open a file can lock it, and /run/lock is for everybody.
readonly LOCK=/run/tacker-cir-node
readonly LOG=/var/log/tacker-cir-node.log

readonly FSTAB=/etc/fstab SWAPS=/proc/swaps
# Of packages zram-tools, zram-config, dphys-swapfile, swapspace and what images bring.
readonly SWAP_SERVICES=(zramswap.service zram-config.service zram-swap.service
    dphys-swapfile.service swapspace.service)

readonly MODULES=(overlay br_netfilter)
readonly MODULES_FILE=/etc/modules-load.d/tacker-cir-kubernetes.conf
readonly SYSCTLS=(
    net.ipv4.ip_forward=1
    net.bridge.bridge-nf-call-iptables=1
    net.bridge.bridge-nf-call-ip6tables=1
)
# The last file wins: later than 99-sysctl.conf, which is /etc/sysctl.conf.
readonly SYSCTLS_FILE=/etc/sysctl.d/99-tacker-cir-kubernetes.conf
readonly CLOUD_INIT_FILE=/etc/cloud/cloud.cfg.d/99-tacker-cir-kubernetes.cfg

readonly EX_USAGE=2 EX_TEMPFAIL=75
readonly DPKG_OPTIONS=(--option=Dpkg::Options::=--force-confdef
    --option=Dpkg::Options::=--force-confold --option=Dpkg::Use-Pty=0)

changed=false
scratch=

say() { echo "tacker-cir: $*" >&2; }

die() {
    say "$*"
    exit 1
}

# failed STATUS LINE COMMAND: told once, not by every subshell on the way out.
failed() {
    if ((BASH_SUBSHELL == 0)); then
        say "line $2: $3: exit status $1"
    fi
}

usage() {
    say "$1; the beginning of $0 says how it is called"
    exit "$EX_USAGE"
}

# note TEXT: say what is done to the machine, and that it is a change.
note() {
    changed=true
    say "$*"
}

# ---------------------------------------------------------------------------------------- files

# write_file PATH CONTENT: only where it differs, and whole or not at all.
write_file() {
    local path=$1 content=$2
    if [[ -f $path && $(<"$path") == "$content" ]]; then
        return
    fi
    note "write $path"
    mkdir -p "$(dirname "$path")"
    printf '%s\n' "$content" >"$path.new"
    chmod 0644 "$path.new"
    place "$path"
}

# place PATH: give PATH.new its name when it is on the disk: after a power cut there is no half file.
place() {
    sync "$1.new"
    mv -fT "$1.new" "$1"
    sync "$(dirname "$1")"
}

# download URL PATH: with apt's own downloader, which knows the site's proxy and needs no curl.
download() {
    local url=$1 path=$2
    say "fetch $url"
    /usr/lib/apt/apt-helper --option=Acquire::Retries=3 download-file "$url" "$scratch/download" ||
        die "$url could not be fetched"
    mkdir -p "$(dirname "$path")"
    install -m 0644 "$scratch/download" "$path.new"
    place "$path"
    rm "$scratch/download"
}

# ------------------------------------------------------------------------------------ the machine

ensure_hostname() {
    if [[ -d ${CLOUD_INIT_FILE%/*} ]]; then
        # Else it would give the machine its cloud's name again at each boot.
        write_file "$CLOUD_INIT_FILE" "preserve_hostname: true"
    fi
    if [[ $(hostname) == "$hostname" && $(cat /etc/hostname) == "$hostname" ]]; then
        return
    fi
    note "name this machine $hostname (was $(hostname))"
    hostnamectl set-hostname "$hostname"
}

# The kubelet refuses to start where memory is swapped, now or after the next boot.
ensure_no_swap() {
    local unit
    # fstab(5): a line may begin with blanks, and end after its third field.
    local entry='^[[:space:]]*[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap([[:space:]]|$)'
    if grep -Eqs "$entry" "$FSTAB"; then
        note "take swap out of $FSTAB"
        sed -i -E "s/$entry/#&/" "$FSTAB"
        systemctl daemon-reload
    fi
    for unit in $(swap_units); do
        note "keep $unit from turning swap on"
        # A unit that somebody wrote into /etc cannot be masked.
        systemctl mask --now "$unit" || systemctl mask "$unit" || systemctl disable --now "$unit"
    done
    if [[ $container == false ]] && swaps; then
        note "turn swap off"
        swapoff --all
        ! swaps || die "swap stays on: $(tail -n +2 "$SWAPS" | paste -sd ' ')"
    fi
}

swaps() { (($(wc -l <"$SWAPS") > 1)); }

# swap_units: those that bring swap at a boot. systemd's own (also those that its generators make for
# fstab, partitions and zram) are pulled in by swap.target; programs have services.
swap_units() {
    local unit
    if [[ $(systemctl show --value --property=LoadState swap.target) != masked ]]; then
        echo swap.target
    fi
    systemctl list-unit-files --full --no-legend '*.swap' "${SWAP_SERVICES[@]}" |
        while read -r unit _; do
            case $(systemctl show --value --property=UnitFileState "$unit") in
                enabled* | generated | linked* | indirect | alias) echo "$unit" ;;
            esac
        done
}

ensure_modules() {
    local module
    write_file "$MODULES_FILE" "$(printf '%s\n' "${MODULES[@]}")"
    for module in "${MODULES[@]}"; do
        if module_works "$module"; then
            continue
        fi
        note "load the kernel module $module"
        modprobe "$module" || true
        module_works "$module" || die "the kernel has no $module, which Kubernetes needs"
    done
}

check_modules() {
    local module
    for module in "${MODULES[@]}"; do
        module_works "$module" || modprobe --dry-run --quiet "$module" ||
            die "the kernel has no $module, which Kubernetes needs"
    done
}

# Asks for what a module gives: it may be built in, or belong to the host of a container.
module_works() {
    case $1 in
        overlay) grep -qw overlay /proc/filesystems ;;
        br_netfilter) [[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] ;;
    esac
}

ensure_sysctls() {
    local setting
    write_file "$SYSCTLS_FILE" "$(printf '%s\n' "${SYSCTLS[@]}")"
    for setting in "${SYSCTLS[@]}"; do
        if [[ $(sysctl --values "${setting%=*}") != "${setting#*=}" ]]; then
            note "set $setting"
            sysctl --quiet --write "$setting"
        fi
    done
}

# --------------------------------------------------------------------------------------- packages

# What apt, dpkg and debconf of all releases say where another program holds their locks.
readonly LOCKED='could not get lock|is another process using it|(is|was) locked by [^ ]+ process'

# Runs apt-get or dpkg; ends this run with EX_TEMPFAIL where another program holds their locks.
with_apt_lock() {
    local status=0 errors=$scratch/errors
    "$@" 2>"$errors" || status=$?
    cat "$errors" >&2
    if ((status)) && grep -Eiq "$LOCKED" "$errors"; then
        exit "$EX_TEMPFAIL"
    fi
    return "$status"
}

apt_get() {
    with_apt_lock apt-get --quiet --yes --option=Acquire::Retries=3 "${DPKG_OPTIONS[@]}" "$@"
}

# Programs of a member are left as they are: an operator may have upgraded the cluster.
ensure_packages() {
    local wanted=() program
    if [[ -n $(dpkg --audit) ]]; then
        complete_packages
    fi
    if ! command -v "$runtime_daemon" >/dev/null; then
        wanted+=("$runtime_package" "${RUNTIME_COMPANIONS[@]}")
    fi
    if [[ $packages == repository ]]; then
        for program in "${PROGRAMS[@]}"; do
            if ! has_package "$program"; then
                wanted+=("$program=$version-*")
            fi
        done
        if [[ ${#wanted[@]} -gt 0 ]]; then
            wanted+=("${COMPANIONS[@]}")
        fi
    fi
    if [[ ${#wanted[@]} -gt 0 ]]; then
        install_packages "${wanted[@]}"
    fi
    if [[ $packages == repository ]]; then
        hold_packages
    fi
}

complete_packages() {
    local halves
    note "complete an installation of packages that was cut off"
    # What depends on a package that is half there waits for the next step.
    with_apt_lock dpkg --force-confdef --force-confold --configure -a || true
    mapfile -t halves < <(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' |
        awk '$1 == "half-installed" { print $2 }')
    apt_get update
    # apt takes a package for installed where only its unpacking had begun.
    apt_get install --no-install-recommends --allow-change-held-packages --fix-broken --reinstall \
        "${halves[@]}"
}

has_package() {
    local found
    found=$(dpkg-query --show --showformat '${db:Status-Status} ${Version}' "$1" 2>/dev/null) ||
        return 1
    [[ $found == "installed $version-"* || $found == "installed "* && -e $MARKER ]]
}

install_packages() {
    note "install $*"
    if [[ $packages == repository && -n $key_url ]]; then
        download "$key_url" "$keyring"
    fi
    apt_get update
    if [[ $packages == repository ]]; then
        check_offered
    fi
    apt_get install --no-install-recommends --allow-downgrades --allow-change-held-packages "$@"
}

# apt names the glob it did not find; a person wants to know what there is.
check_offered() {
    local program offered
    for program in "${PROGRAMS[@]}"; do
        offered=$(apt-cache madison "$program" | awk '{ print $3 }' | sort --unique --version-sort)
        if ! has_package "$program" && ! grep -q "^${version//./[.]}-" <<<"$offered"; then
            die "the machine's apt sources have no $program $version; they have:" \
                "$(tail -n 5 <<<"${offered:-none}" | paste -sd ' ')"
        fi
    done
}

# So that no upgrade of the machine moves a node away from its cluster's version.
hold_packages() {
    local program
    for program in "${PROGRAMS[@]}"; do
        if ! apt-mark showhold "$program" | grep -qx "$program"; then
            note "hold $program at its version"
            with_apt_lock apt-mark hold "$program" >&2
        fi
    done
}

check_programs() {
    local program found
    for program in "${PROGRAMS[@]}"; do
        command -v "$program" >/dev/null || die "the machine's image has no $program"
        case $program in
            kubelet) found=$(kubelet --version) ;;
            kubeadm) found=$(kubeadm version --output short) ;;
            kubectl) found=$(kubectl version --client --output yaml | grep gitVersion: | head -n 1) ;;
        esac
        if [[ ${found##*[ :]} != "v$version" && ! -e $MARKER ]]; then
            die "the machine's image has $program ${found##*[ :]}, not v$version"
        fi
    done
}

ensure_services() {
    if ! systemctl --quiet is-enabled "$runtime_service" ||
        ! systemctl --quiet is-active "$runtime_service"; then
        note "enable and start $runtime_service"
        systemctl enable --now "$runtime_service"
    fi
    # Not started: until kubeadm gives it a configuration it could only fail.
    if ! systemctl --quiet is-enabled kubelet.service; then
        note "enable kubelet.service"
        systemctl enable kubelet.service
    fi
}

do_install() {
    container=false
    if systemd-detect-virt --container --quiet; then
        container=true
    fi
    # What can be refused is refused before anything is changed.
    if [[ $packages == image ]]; then
        check_programs
    fi
    check_modules
    ensure_packages
    ensure_hostname
    ensure_no_swap
    ensure_modules
    ensure_sysctls
    ensure_services
    report ", \"container\": $container"
}

# ---------------------------------------------------------------------------------------- cluster

# Pulls only what is not there: a site without a registry may have brought the images itself.
do_pull() {
    local image images
    images=$(kubeadm config images list --config "$config")
    if $worker; then
        images=$(grep -E '/(kube-proxy|coredns|pause):' <<<"$images")
    fi
    for image in $images; do
        if ! has_image "$image"; then
            note "pull $image"
            pull_image "$image"
        fi
    done
    report
}

has_image() {
    case $runtime in
        docker) docker image inspect "$1" >/dev/null 2>&1 ;;
        # crictl inspecti succeeds in some releases where there is no such image.
        *) [[ -n $(crictl -r "$cri_socket" inspecti "$1" 2>/dev/null) ]] ;;
    esac
}

pull_image() {
    case $runtime in
        docker) docker pull --quiet "$1" ;;
        *) crictl -r "$cri_socket" pull "$1" ;;
    esac
}

is_member() { [[ -s $MARKER && -s $KUBELET_CONF ]]; }

# traces: print what there is of a cluster.
traces() {
    local path
    for path in "${TRACES[@]}"; do
        if [[ -e $path ]]; then
            echo "$path"
        fi
    done
}

has_traces() { [[ -n $(traces) ]]; }

# Another's node is left alone altogether: it may be at work.
refuse_foreign_cluster() {
    local what="a node"
    if [[ -e $ADMIN_CONF ]]; then
        what="the control plane"
    fi
    if has_traces && [[ ! -e $MARKER && ! -e $BEGUN ]]; then
        die "this machine is $what of a cluster that was not made by this script: it has" \
            "$(traces | paste -sd ' ')"
    fi
}

begin() {
    mkdir -p "${BEGUN%/*}"
    echo "$step" >"$BEGUN"
    sync "$BEGUN"
}

mark() {
    echo "$step" >"$MARKER.new"
    place "$MARKER"
    rm -f "$BEGUN"
}

do_init() {
    if is_member; then
        [[ $(<"$MARKER") == init ]] ||
            die "this machine is a member of a cluster that another machine began"
        report
        return
    fi
    if has_traces; then
        refuse_live_cluster
        note "undo an earlier kubeadm init that was cut off"
        reset_node
    fi
    note "kubeadm init"
    choose_patches
    begin
    kubeadm init --config "$config" --upload-certs --skip-token-print --skip-certificate-key-print \
        "${patches[@]}"
    mark
    report
}

# Before 1.22 etcd asks for disk space, and where the kubelet does not know yet how much there is,
# it never starts etcd (kubernetes/kubernetes#99305): the request is taken away.
choose_patches() {
    local minor
    minor=$(kubeadm version --output short)
    minor=${minor#v1.}
    patches=()
    ((${minor%%.*} < 22)) || return 0
    mkdir "$scratch/patches"
    cat >"$scratch/patches/etcd+strategic.json" <<'END'
{"spec": {"containers": [{"name": "etcd", "resources": {"requests": {"ephemeral-storage": null}}}]}}
END
    patches=(--experimental-patches "$scratch/patches")
}

# What was cut off has no other node yet, so a cluster with several is not ours to undo.
refuse_live_cluster() {
    local nodes
    if [[ -s $ADMIN_CONF ]] && nodes=$(kube get nodes --output name 2>/dev/null) &&
        (($(wc -l <<<"$nodes") > 1)); then
        die "this machine is the control plane of a cluster that was not made by this script:" \
            "$(paste -sd ' ' <<<"$nodes")"
    fi
}

do_join() {
    if is_member; then
        report
        return
    fi
    if has_traces; then
        note "undo an earlier kubeadm join that was cut off"
        await_not_ready
        reset_node
    fi
    note "kubeadm join"
    choose_patches
    begin
    kubeadm join --config "$config" "${patches[@]}"
    mark
    report
}

# kubeadm does not join a node whose name the cluster knows as ready, so the cluster must first
# notice that it is gone (40 to 50 seconds). A cluster that does not answer decides by itself.
await_not_ready() {
    local ready deadline=$((SECONDS + 120))
    systemctl stop kubelet.service
    [[ -s $KUBELET_CONF ]] || return 0
    while ((SECONDS < deadline)) &&
        ready=$(KUBECONFIG=$KUBELET_CONF kubectl --request-timeout=10s get node "$(hostname)" \
            --output 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) &&
        [[ $ready == True ]]; do
        say "wait until the cluster notices that this node is gone"
        sleep 3
    done
}

reset_node() {
    local file link
    # Cut off in the middle, it is still ours to go on with.
    [[ -e $MARKER ]] || begin
    kubeadm reset --force --cri-socket "$cri_socket"
    # What a network of pods left and kubeadm leaves to others: the next one may have another range.
    for file in /etc/cni/net.d/*; do
        if [[ -e $file ]] && ! dpkg-query --search "$file" >/dev/null 2>&1; then
            rm -r "$file"
        fi
    done
    rm -rf /var/lib/cni/networks /var/lib/cni/results
    for link in cni0 flannel.1 vxlan.calico; do
        if [[ -e /sys/class/net/$link ]]; then
            ip link delete "$link"
        fi
    done
    rm -f "$MARKER" "$BEGUN"
}

do_reset() {
    if has_traces || [[ -e $MARKER || -e $BEGUN ]]; then
        note "take this machine out of its cluster"
        reset_node
    fi
    report
}

do_network() {
    local file=$manifest applied
    if [[ -z $file ]]; then
        file=$scratch/manifest.yaml
        download "$CALICO_MANIFEST" "$file"
    fi
    await_api
    applied=$(kube apply --filename "$file")
    say "$applied"
    if grep -qv ' unchanged$' <<<"$applied"; then
        changed=true
    fi
    report
}

await_api() {
    local deadline=$((SECONDS + 120))
    until kube get --raw /readyz >/dev/null 2>&1; do
        ((SECONDS < deadline)) || die "the API server is not ready after 120 seconds"
        sleep 1
    done
}

kube() { KUBECONFIG=$ADMIN_CONF kubectl --request-timeout=10s "$@"; }

# ------------------------------------------------------------------------------------------- main

# Whatever a program prints is progress. It goes through tee, which reads on when nobody listens any
# more: where the connection breaks, this run comes to its end all the same, and the next one waits
# for it (EX_TEMPFAIL). Our one line goes to the true standard output.
redirect_output() {
    [[ -e $LOG ]] || install -m 0600 /dev/null "$LOG"
    exec 3>&1 1> >(exec tee --append --output-error=warn-nopipe "$LOG" >&2) 2>&1
    echo "$(date --utc +%FT%TZ) $step"
}

# report [MEMBERS]: the one line of standard output; MEMBERS begin with a comma.
report() { printf '{"step": "%s", "changed": %s%s}\n' "$step" "$changed" "${1:-}" >&3; }

read_options() {
    version='' runtime='' packages='' hostname='' key_url='' keyring='' config='' manifest=''
    worker=false
    while (($#)); do
        case $1 in
            --worker)
                worker=true
                shift
                continue
                ;;
            --kubernetes-version | --container-runtime | --packages | --hostname | --key-url | \
                --keyring | --config | --manifest) (($# > 1)) || usage "$1 needs a value" ;;
            *) usage "option $1 is not known" ;;
        esac
        case $1 in
            --kubernetes-version) version=$2 ;;
            --container-runtime) runtime=$2 ;;
            --packages) packages=$2 ;;
            --hostname) hostname=$2 ;;
            --key-url) key_url=$2 ;;
            --keyring) keyring=$2 ;;
            --config) config=$2 ;;
            --manifest) manifest=$2 ;;
        esac
        shift 2
    done
}

check_options() {
    case $step in
        install | pull | init | join | reset) choose_runtime ;;
    esac
    case $step in
        install)
            [[ $version =~ ^1\.[0-9]+\.[0-9]+$ ]] || usage "--kubernetes-version: not 1.N.P"
            [[ $packages == repository || $packages == image ]] ||
                usage "--packages: neither repository nor image"
            [[ $hostname =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] ||
                usage "--hostname: not a name of lower case letters, digits and hyphens"
            [[ -z $key_url || -n $keyring ]] || usage "--key-url needs --keyring"
            ;;
        pull | init | join)
            [[ -n $config ]] || usage "--config is missing"
            ;;
        reset | network) ;;
        *) usage "step ${step:-(none)} is not known" ;;
    esac
}

# Programs read their file more than once. It may hold a token: it has no name any more when that is
# written, so that nothing is left of it whatever ends this run.
take_input() {
    if [[ ${config:-$manifest} == - ]]; then
        exec 5<>"$scratch/input"
        rm "$scratch/input"
        cat >&5
    fi
    [[ $config != - ]] || config=/proc/$$/fd/5
    [[ $manifest != - ]] || manifest=/proc/$$/fd/5
    [[ -z $config$manifest || -s $config$manifest ]] || die "$config$manifest is missing or empty"
}

choose_runtime() {
    local known=${NODE_SCRIPT_RUNTIMES[*]}
    case $runtime in
        docker)
            runtime_package=docker.io runtime_daemon=dockerd runtime_service=docker.service
            cri_socket=/var/run/dockershim.sock
            ;;
        containerd)
            runtime_package=containerd runtime_daemon=containerd runtime_service=containerd.service
            cri_socket=unix:///run/containerd/containerd.sock
            ;;
        *) usage "--container-runtime: neither ${known// / nor }" ;;
    esac
}

main() {
    step=${1:-}
    (($# == 0)) || shift
    read_options "$@"
    check_options
    ((EUID == 0)) || die "must run as root"
    umask 022
    export LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    trap 'rm -rf "$scratch"' EXIT
    trap 'failed $? $LINENO "$BASH_COMMAND"' ERR
    redirect_output
    # What a run starts holds its lock as well.
    umask 077
    exec 4>"$LOCK"
    umask 022
    if ! flock --nonblock 4; then
        say "an earlier run of this script is still at work"
        exit "$EX_TEMPFAIL"
    fi
    # Also what runs that were killed have left.
    rm -rf /run/tacker-cir-scratch.*
    scratch=$(mktemp --directory /run/tacker-cir-scratch.XXXXXXXX)
    take_input
    refuse_foreign_cluster
    "do_$step"
}

main "$@"
