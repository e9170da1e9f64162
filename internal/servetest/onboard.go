package servetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/crossaccount/crossaccount"
	"github.com/crossaccount/crossaccount/api"
)

// A Phase is one step of many onboardings, done by all of them at the same time.
type Phase struct {
	Name      string
	Elapsed   time.Duration   // of all together
	Latencies []time.Duration // of each, sorted
}

// Percentile returns the latency that so many of a hundred do not exceed.
func (p Phase) Percentile(percent int) time.Duration {
	if len(p.Latencies) == 0 {
		return 0
	}
	return p.Latencies[max(0, (len(p.Latencies)*percent+99)/100-1)]
}

// PerSecond returns how many there were per second.
func (p Phase) PerSecond() float64 { return float64(len(p.Latencies)) / p.Elapsed.Seconds() }

// Onboard onboards the customers numbered from 0 through the server's API, all
// at the same time: start, the stack in the customer's own account, verify,
// complete. Between two phases everybody waits for the last one. Any error of
// the server, also one that asks to try again, is an error here. What is there
// afterwards is compared with what the server had answered.
func (w *World) Onboard(ctx context.Context, p *Process, customers int) ([]Phase, error) {
	transport := Transport(customers)
	defer transport.CloseIdleConnections()
	client, err := p.Client(transport)
	if err != nil {
		return nil, err
	}
	started, roles := make([]*crossaccount.IntegrationResponse, customers), make([]string, customers)
	request := func(n int) *api.RoleRequest {
		return &api.RoleRequest{CustomerID: CustomerID(n), RoleARN: roles[n]}
	}
	var phases []Phase
	for _, phase := range []struct {
		name   string
		atOnce int
		do     func(n int) error
	}{
		{"start", customers, func(n int) (err error) {
			started[n], err = client.Start(ctx, &api.StartRequest{CustomerID: CustomerID(n)})
			return err
		}},
		{"stack", 4, func(n int) (err error) { // the customers' work, in the sandbox
			roles[n], err = w.Launch(ctx, AccountID(n), started[n].LaunchURL)
			return err
		}},
		{"verify", customers, func(n int) error {
			report, err := client.Verify(ctx, started[n].IntegrationID, request(n))
			if err == nil {
				err = report.Err()
			}
			return err
		}},
		{"complete", customers, func(n int) error {
			_, err := client.Complete(ctx, started[n].IntegrationID, request(n))
			return err
		}},
	} {
		measured, err := atOnce(customers, phase.atOnce, phase.do)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", phase.name, err)
		}
		measured.Name = phase.name
		phases = append(phases, measured)
	}
	return phases, check(ctx, client, started, roles)
}

// CustomerID names the customer with a number.
func CustomerID(number int) string { return fmt.Sprintf("customer-%d", number) }

// atOnce calls do for every number below n, so many at the same time.
func atOnce(n, workers int, do func(int) error) (Phase, error) {
	phase, failed := Phase{Latencies: make([]time.Duration, n)}, make([]error, n)
	numbers := make(chan int, n)
	for i := range n {
		numbers <- i
	}
	close(numbers)
	var group sync.WaitGroup
	ready := make(chan struct{})
	for range workers {
		group.Go(func() {
			<-ready
			for i := range numbers {
				began := time.Now()
				failed[i] = do(i)
				phase.Latencies[i] = time.Since(began)
			}
		})
	}
	began := time.Now()
	close(ready)
	group.Wait()
	phase.Elapsed = time.Since(began)
	slices.Sort(phase.Latencies)
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	if len(failed) > 0 {
		return phase, fmt.Errorf("%d of %d failed, the first: %w", len(failed), n, failed[0])
	}
	return phase, nil
}

// check compares what the server has with what it has answered.
func check(ctx context.Context, client *api.Client, started []*crossaccount.IntegrationResponse, roles []string) error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	ids := make(map[string]bool)
	for n, s := range started {
		if ids[s.ExternalID] || ids[s.IntegrationID] {
			problem("%s shares its external ID or its integration's id", CustomerID(n))
		}
		ids[s.ExternalID], ids[s.IntegrationID] = true, true
	}
	found := make(map[string]*api.Integration)
	for i, err := range client.All(ctx, api.ListRequest{}) {
		if err != nil {
			return err
		}
		if found[i.CustomerID] != nil {
			problem("%s has two integrations", i.CustomerID)
		}
		found[i.CustomerID] = i
	}
	if len(found) != len(started) {
		problem("there are %d integrations, want %d", len(found), len(started))
	}
	for n, s := range started {
		i := found[CustomerID(n)]
		switch {
		case i == nil:
			problem("%s was lost", CustomerID(n))
		case i.ID != s.IntegrationID || i.RoleARN != roles[n] || i.AccountID != AccountID(n) || i.State != crossaccount.StateActive:
			problem("%s is %s, integration %s with role %s; the server had answered %s for role %s", i.CustomerID, i.State, i.ID, i.RoleARN, s.IntegrationID, roles[n])
		case i.Verification == nil || !i.Verification.Controlled:
			problem("%s is active without a controlled verification", i.CustomerID)
		}
		// Nobody is told the external ID again but by starting.
		again, err := client.Start(ctx, &api.StartRequest{CustomerID: CustomerID(n), IntegrationID: s.IntegrationID})
		if err != nil {
			return err
		}
		if again.ExternalID != s.ExternalID {
			problem("the external ID of %s was lost", CustomerID(n))
		}
	}
	return errors.Join(problems...)
}
