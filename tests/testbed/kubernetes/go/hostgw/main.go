// SPDX-License-Identifier: Apache-2.0

// Command hostgw is the lab's network of pods, for nodes that share an Ethernet segment. On its
// node it writes the configuration of the bridge plugin for the node's own range of pods, keeps a
// route to the range of every other node, lets pods through the node's firewall, and hides them
// behind the node's address where they talk to anything but pods.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	configDirectory = "/etc/cni/net.d" // the node's, mounted
	chain           = "TACKER-CIR-LAB"
	protocol        = 0x7c // marks the routes that are ours to remove
	period          = 2 * time.Second
)

// state is what a node has to know; it is applied when it changes.
type state struct {
	Own    string            // the node's own range of pods
	Others map[string]string // range of pods: address of its node
}

func main() {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if err := run(stop, os.Getenv("NODE_NAME")); err != nil {
		log.Fatalln("hostgw:", err)
	}
}

// run polls the list of nodes: a lab has few, and a node gets ready within the period.
func run(stop context.Context, node string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	applied := ""
	for stop.Err() == nil {
		nodes, err := client.CoreV1().Nodes().List(stop, meta.ListOptions{})
		if err == nil {
			wanted := stateOf(node, nodes.Items)
			if text := fmt.Sprint(wanted); wanted.Own != "" && text != applied {
				if err = wanted.apply(); err == nil {
					log.Println("hostgw: applied", text)
					applied = text
				}
			}
		}
		if err != nil && stop.Err() == nil {
			log.Println("hostgw:", err)
		}
		select {
		case <-stop.Done():
		case <-time.After(period):
		}
	}
	return nil
}

func stateOf(node string, nodes []core.Node) state {
	found := state{Others: map[string]string{}}
	for _, other := range nodes {
		if other.Name == node {
			found.Own = other.Spec.PodCIDR
			continue
		}
		for _, address := range other.Status.Addresses {
			if address.Type == core.NodeInternalIP && other.Spec.PodCIDR != "" {
				found.Others[other.Spec.PodCIDR] = address.Address
			}
		}
	}
	return found
}

func (s state) apply() error {
	if err := s.route(); err != nil {
		return err
	}
	if err := s.letThrough(); err != nil {
		return err
	}
	return s.configure() // last, as the kubelet calls the node ready then
}

func (s state) route() error {
	ours := &netlink.Route{Protocol: protocol}
	present, err := netlink.RouteListFiltered(netlink.FAMILY_V4, ours, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return err
	}
	for i := range present {
		if _, wanted := s.Others[present[i].Dst.String()]; !wanted {
			if err := netlink.RouteDel(&present[i]); err != nil {
				return err
			}
		}
	}
	for pods, address := range s.Others {
		_, destination, err := net.ParseCIDR(pods)
		if err != nil {
			return err
		}
		route := &netlink.Route{Dst: destination, Gw: net.ParseIP(address), Protocol: protocol}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route to %s via %s: %w", pods, address, err)
		}
	}
	return nil
}

func (s state) letThrough() error {
	var rules strings.Builder
	fmt.Fprintf(&rules, "*filter\n:%s - [0:0]\n", chain)
	fmt.Fprintf(&rules, "-A %s -s %s -j ACCEPT\n", chain, s.Own)
	fmt.Fprintf(&rules, "-A %s -d %s -j ACCEPT\nCOMMIT\n", chain, s.Own)
	fmt.Fprintf(&rules, "*nat\n:%s - [0:0]\n", chain)
	for _, pods := range s.ranges() {
		fmt.Fprintf(&rules, "-A %s -d %s -j RETURN\n", chain, pods)
	}
	fmt.Fprintf(&rules, "-A %s -s %s -j MASQUERADE\nCOMMIT\n", chain, s.Own)
	if err := command(rules.String(), "iptables-restore", "--wait", "--noflush"); err != nil {
		return err
	}
	for table, from := range map[string]string{"filter": "FORWARD", "nat": "POSTROUTING"} {
		rule := []string{"--wait", "-t", table, "-C", from, "-j", chain}
		if command("", "iptables", rule...) == nil {
			continue
		}
		rule[3] = "-A"
		if err := command("", "iptables", rule...); err != nil {
			return err
		}
	}
	return nil
}

func (s state) ranges() []string {
	all := []string{s.Own}
	for pods := range s.Others {
		all = append(all, pods)
	}
	sort.Strings(all)
	return all
}

func (s state) configure() error {
	type object = map[string]interface{}
	text, err := json.MarshalIndent(object{
		"cniVersion": "0.4.0",
		"name":       "tacker-cir-lab",
		"plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
				"ipam": object{
					"type":   "host-local",
					"ranges": [][]object{{{"subnet": s.Own}}},
					"routes": []object{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	part := filepath.Join(configDirectory, ".tacker-cir-lab")
	if err := os.WriteFile(part, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(configDirectory, "10-tacker-cir-lab.conflist"))
}

func command(input, name string, words ...string) error {
	running := exec.Command(name, words...)
	running.Stdin = strings.NewReader(input)
	var said bytes.Buffer
	running.Stdout, running.Stderr = &said, &said
	if err := running.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(words, " "), err, said.String())
	}
	return nil
}
