package sandboxtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/crossaccount/crossaccount/sandbox/sandboxtest"
)

// TestSoak onboards customers, uses their roles rightly and wrongly and takes
// them away again, from several goroutines: a few rounds as a rule, and for as
// long as CROSSACCOUNT_SOAK says ("10m") with `make soak`. Whatever was deleted
// must not keep memory or goroutines.
func TestSoak(t *testing.T) {
	var soak time.Duration
	if value := os.Getenv("CROSSACCOUNT_SOAK"); value != "" {
		var err error
		if soak, err = time.ParseDuration(value); err != nil {
			t.Fatalf("CROSSACCOUNT_SOAK: %v", err)
		}
	}
	box := sandboxtest.New(t, vendorID, customerID)
	vendor := box.Account(vendorID).User("broker", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}`)
	customer := iam.NewFromConfig(box.Account(customerID).Config())

	const workers = 4
	end := time.Now().Add(soak)
	var rounds atomic.Int64
	goroutines, heap := runtime.NumGoroutine(), uint64(0)
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for round := 0; round < 5 || time.Now().Before(end); round++ {
				if err := onboardOnce(customer, vendor, fmt.Sprintf("customer-%d", worker), fmt.Sprintf("soak-%d-%d", worker, round)); err != nil {
					t.Errorf("worker %d, round %d: %v", worker, round, err)
					return
				}
				// The record fills up in the first rounds and then stays.
				if n := rounds.Add(1); n == 1000 {
					heap = heapInUse()
				}
			}
		})
	}
	group.Wait()
	if now := runtime.NumGoroutine(); now > goroutines+2 {
		t.Errorf("%d goroutines became %d", goroutines, now)
	}
	if now := heapInUse(); heap > 0 {
		t.Logf("%d rounds; heap %d kB after 1,000 rounds, %d kB at the end", rounds.Load(), heap>>10, now>>10)
		// Sessions are kept until an hour after they expired: some kilobytes
		// for each round.
		if allowed := heap + uint64(rounds.Load())*8<<10 + 32<<20; now > allowed {
			t.Errorf("the heap grew from %d to %d bytes", heap, now)
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapInuse
}

// onboardOnce makes a role, sees that it can be assumed with its external ID
// alone, and deletes it.
func onboardOnce(customer *iam.Client, vendor aws.Config, role, externalID string) error {
	ctx := context.Background()
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":%q}}}}`, vendorID, externalID)
	made, err := customer.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &role, AssumeRolePolicyDocument: &trust})
	if err != nil {
		return err
	}
	client := sts.NewFromConfig(vendor)
	for _, id := range []*string{nil, aws.String(externalID + "x"), &externalID} {
		_, err := client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: made.Role.Arn, RoleSessionName: aws.String("soak"), ExternalId: id})
		if allowed := err == nil; allowed != (id == &externalID) {
			return errors.Join(fmt.Errorf("external ID right %v, allowed %v", id == &externalID, allowed), err)
		}
	}
	_, err = customer.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &role})
	return err
}
