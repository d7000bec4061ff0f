// SPDX-License-Identifier: Apache-2.0

// Command echo is both ends of a connection between pods, without a shell.
//
//	echo serve ADDRESS   answers HTTP with the own host name, the client's address and the path
//	echo get URL         prints what a server answers; exit 1 unless it is 200
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func run(words []string) error {
	if len(words) != 2 {
		return fmt.Errorf("usage: echo serve ADDRESS | echo get URL")
	}
	switch words[0] {
	case "serve":
		return serve(words[1])
	case "get":
		return get(words[1])
	}
	return fmt.Errorf("unknown command %q", words[0])
}

func serve(address string) error {
	// As the first process of a container nothing ends it but a handler.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		os.Exit(0)
	}()
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	return http.ListenAndServe(address, http.HandlerFunc(
		func(answer http.ResponseWriter, request *http.Request) {
			fmt.Fprintf(answer, "%s %s %s\n", name, request.RemoteAddr, request.URL.Path)
		}))
}

func get(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", answer.Status)
	}
	return nil
}
