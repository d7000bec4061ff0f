// SPDX-License-Identifier: Apache-2.0

// Command crictl stands in for the tool of cri-tools, which no Debian release has. It knows what
// kubeadm calls (info, pods -q, stopp, rmp, pull, inspecti), and images, ps and logs for a person
// that looks for a fault. Its output is plainer than the original's.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

const usage = "usage: crictl [-r ENDPOINT] info | pods [-q] | stopp POD | rmp POD | pull IMAGE | " +
	"inspecti IMAGE | images | ps | logs CONTAINER"

// Longer than the pull of the largest image from a registry nearby.
const timeout = 5 * time.Minute

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "crictl:", err)
		os.Exit(1)
	}
}

type client struct {
	context.Context
	cri.RuntimeServiceClient
	cri.ImageServiceClient
}

func run() error {
	var endpoint string
	for _, name := range []string{"r", "runtime-endpoint"} {
		flag.StringVar(&endpoint, name, "unix:///run/containerd/containerd.sock", "CRI socket")
	}
	flag.Parse()
	if flag.NArg() == 0 {
		return fmt.Errorf(usage)
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "unix://" + endpoint
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	dialing, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	connection, err := grpc.DialContext(dialing, endpoint, grpc.WithInsecure(), grpc.WithBlock())
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", endpoint, err)
	}
	defer connection.Close()
	c := client{ctx, cri.NewRuntimeServiceClient(connection), cri.NewImageServiceClient(connection)}
	return c.do(flag.Arg(0), flag.Args()[1:])
}

func (c client) do(command string, words []string) error {
	switch command {
	case "info":
		return c.info()
	case "pods":
		return c.pods(len(words) > 0 && (words[0] == "-q" || words[0] == "--quiet"))
	case "images":
		return c.images()
	case "ps":
		return c.containers()
	}
	if len(words) != 1 {
		return fmt.Errorf(usage)
	}
	name := words[0]
	switch command {
	case "stopp":
		_, err := c.StopPodSandbox(c, &cri.StopPodSandboxRequest{PodSandboxId: name})
		return err
	case "rmp":
		_, err := c.RemovePodSandbox(c, &cri.RemovePodSandboxRequest{PodSandboxId: name})
		return err
	case "pull":
		return c.pull(name)
	case "inspecti":
		return c.inspectImage(name)
	case "logs":
		return c.logs(name)
	}
	return fmt.Errorf(usage)
}

// info fails where the runtime answers but is no CRI of this version.
func (c client) info() error {
	status, err := c.Status(c, &cri.StatusRequest{})
	if err != nil {
		return err
	}
	for _, condition := range status.Status.Conditions {
		fmt.Println(condition.Type, condition.Status, condition.Reason, condition.Message)
	}
	return nil
}

func (c client) pods(quiet bool) error {
	listed, err := c.ListPodSandbox(c, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	for _, pod := range listed.Items {
		if quiet {
			fmt.Println(pod.Id)
		} else {
			fmt.Println(pod.Id, pod.State, pod.Metadata.Namespace, pod.Metadata.Name)
		}
	}
	return nil
}

func (c client) containers() error {
	listed, err := c.ListContainers(c, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	for _, container := range listed.Containers {
		fmt.Println(container.Id, container.State, container.Metadata.Name,
			container.Metadata.Attempt, container.PodSandboxId)
	}
	return nil
}

func (c client) images() error {
	listed, err := c.ListImages(c, &cri.ListImagesRequest{})
	if err != nil {
		return err
	}
	for _, image := range listed.Images {
		fmt.Println(image.Id, image.Size_, strings.Join(image.RepoTags, " "))
	}
	return nil
}

func (c client) pull(name string) error {
	pulled, err := c.PullImage(c, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: name}})
	if err != nil {
		return err
	}
	fmt.Println("Image is up to date for", pulled.ImageRef)
	return nil
}

func (c client) inspectImage(name string) error {
	asked := &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}}
	found, err := c.ImageStatus(c, asked)
	if err != nil {
		return err
	}
	if found.Image == nil {
		return fmt.Errorf("no such image %q present", name)
	}
	fmt.Println(found.Image.Id, strings.Join(found.Image.RepoTags, " "))
	return nil
}

func (c client) logs(name string) error {
	listed, err := c.ListContainers(c, &cri.ListContainersRequest{
		Filter: &cri.ContainerFilter{Id: name},
	})
	if err != nil {
		return err
	}
	if len(listed.Containers) != 1 {
		return fmt.Errorf("%d containers have an id like %q", len(listed.Containers), name)
	}
	id := listed.Containers[0].Id
	status, err := c.ContainerStatus(c, &cri.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		return err
	}
	log, err := os.Open(status.Status.LogPath)
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = io.Copy(os.Stdout, log)
	return err
}
