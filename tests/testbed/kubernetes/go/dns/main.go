// SPDX-License-Identifier: Apache-2.0

// Command dns stands in for CoreDNS, which no Debian release has: it answers the names of
// Services, also headless ones, and refuses all others, as a lab has nobody to forward them to.
// It is started like CoreDNS (-conf COREFILE) and has its health checks.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/miekg/dns"
	core "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
)

const ttl = 30

type server struct {
	zone      string // "cluster.local."
	services  listers.ServiceLister
	endpoints listers.EndpointsLister
}

func main() {
	corefile := flag.String("conf", "/etc/coredns/Corefile", "CoreDNS's configuration")
	flag.Parse()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		os.Exit(0)
	}()
	log.Fatalln("dns:", run(*corefile))
}

func run(corefile string) error {
	zone, err := zoneOf(corefile)
	if err != nil {
		return err
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	failed := make(chan error)
	answerOK(":8080", failed) // CoreDNS's health
	factory := informers.NewSharedInformerFactory(client, 0)
	s := server{
		zone,
		factory.Core().V1().Services().Lister(),
		factory.Core().V1().Endpoints().Lister(),
	}
	factory.Start(nil)
	factory.WaitForCacheSync(nil)
	for _, network := range []string{"udp", "tcp"} {
		listener := &dns.Server{Addr: ":53", Net: network, Handler: s}
		go func() { failed <- listener.ListenAndServe() }()
	}
	answerOK(":8181", failed) // CoreDNS's readiness
	return <-failed
}

// zoneOf finds the cluster's domain: the first word after "kubernetes" in a Corefile.
func zoneOf(corefile string) (string, error) {
	text, err := os.ReadFile(corefile)
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^\s*kubernetes\s+(\S+)`).FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("%s names no zone for kubernetes", corefile)
	}
	return strings.ToLower(dns.Fqdn(string(found[1]))), nil
}

func answerOK(address string, failed chan<- error) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	go func() { failed <- http.ListenAndServe(address, ok) }()
}

// ServeDNS answers one request.
func (s server) ServeDNS(writer dns.ResponseWriter, request *dns.Msg) {
	answer := new(dns.Msg)
	answer.SetReply(request)
	if len(request.Question) != 1 {
		answer.Rcode = dns.RcodeFormatError
	} else {
		s.answer(request.Question[0], answer)
	}
	if err := writer.WriteMsg(answer); err != nil {
		log.Println("dns:", err)
	}
}

func (s server) answer(question dns.Question, answer *dns.Msg) {
	name := strings.ToLower(question.Name)
	if !dns.IsSubDomain(s.zone, name) {
		answer.Rcode = dns.RcodeRefused
		return
	}
	answer.Authoritative = true
	addresses, found := s.addresses(strings.TrimSuffix(name, "."+s.zone))
	if !found {
		answer.Rcode = dns.RcodeNameError
		return
	}
	for _, address := range addresses {
		header := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: ttl}
		if four := net.ParseIP(address).To4(); four != nil && question.Qtype == dns.TypeA {
			header.Rrtype = dns.TypeA
			answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: four})
		}
	}
}

// addresses resolves NAME.NAMESPACE.svc: the Service's address, or those of its pods if headless.
func (s server) addresses(name string) ([]string, bool) {
	labels := strings.Split(name, ".")
	if len(labels) != 3 || labels[2] != "svc" {
		return nil, false
	}
	service, err := s.services.Services(labels[1]).Get(labels[0])
	if err != nil {
		return nil, false
	}
	if service.Spec.ClusterIP != core.ClusterIPNone {
		return []string{service.Spec.ClusterIP}, true
	}
	endpoints, err := s.endpoints.Endpoints(labels[1]).Get(labels[0])
	if err != nil {
		return nil, true
	}
	var found []string
	for _, subset := range endpoints.Subsets {
		for _, address := range subset.Addresses {
			found = append(found, address.IP)
		}
	}
	return found, true
}
