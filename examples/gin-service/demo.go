package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/crossaccount/crossaccount/examples/gin-service/demo"
	"github.com/crossaccount/crossaccount/sandbox"
)

// runDemo is the same service with other settings: its AWS is in this process,
// and its customers have tokens that are forgotten at the end.
func runDemo(ctx context.Context, getenv func(string) string, console string, out io.Writer, log *slog.Logger) error {
	world, err := demo.New(ctx, sandbox.Options{})
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "gin-service-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	s := demoSettings(folder)
	if address := getenv("LISTEN"); address != "" {
		s.listen = address
	}
	acme, globex := rand.Text(), rand.Text()
	s.tokens = configured("acme", acme) + "," + configured("globex", globex)

	if err := prepareBucket(ctx, s, world.Administrator, io.Discard); err != nil {
		return err
	}
	service, err := listenLoopback(s.listen)
	if err != nil {
		return err
	}
	aws, err := listenLoopback(console)
	if err != nil {
		return errors.Join(err, service.Close())
	}
	fmt.Fprintf(out, "Nothing here is AWS. In another shell:\n\nexport SERVICE=http://%s CONSOLE=http://%s\nexport ACME=%s GLOBEX=%s\n\n", service.Addr(), aws.Addr(), acme, globex)
	fmt.Fprintf(out, "Then follow the README. A browser signs in at $SERVICE/integrate with any name and one of these tokens.\n")

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		defer stop() // neither goes on without the other
		ended <- serve(ctx, aws, world.Console())
	}()
	err = serveCustomers(ctx, s, world.Broker, service, log)
	stop()
	return errors.Join(err, <-ended)
}

// demoSettings keep what the service stores in the folder.
func demoSettings(folder string) settings {
	return settings{
		listen: "127.0.0.1:8080", name: "Example", accountID: demo.VendorAccount, bucket: demo.TemplateBucket, region: "us-east-1",
		brokerRole: demo.BrokerRole, probeRole: demo.ProbeRole, canaryRole: demo.CanaryRole,
		database: filepath.Join(folder, "crossaccount.db"), keyFile: filepath.Join(folder, "keys.json"), patience: patience,
	}
}

// configured is a token as CUSTOMER_TOKENS has it.
func configured(customerID, token string) string {
	hash := sha256.Sum256([]byte(token))
	return customerID + ":" + hex.EncodeToString(hash[:])
}

func listenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("address %q: the demo listens on a loopback address only, such as 127.0.0.1:8080", address)
	}
	return net.Listen("tcp", address)
}
