package asl

import (
	"strings"
	"time"
)

// beginTask hands a task to the host.
func (r *Run) beginTask(t *thread, env *environment, input any) error {
	s := t.state
	task := &Task{State: s.Name, Resource: s.Resource, Input: input, Budget: r.options.Budget}
	if s.credentials != nil {
		v, err := s.credentials.get(env)
		if err != nil {
			return err
		}
		role, ok := v.(string)
		if !ok {
			return runtimeFailure("Credentials.RoleArn is %s, not the ARN of a role", typeName(v))
		}
		task.Role = role
	}
	fields := map[string]any{}
	t.limit = time.Time{}
	for _, b := range []struct {
		given bound
		field string
	}{{s.timeout, "timeoutInSeconds"}, {s.heartbeat, "heartbeatInSeconds"}} {
		if !b.given.set {
			continue
		}
		n, err := b.given.get(env)
		if err != nil {
			return err
		}
		fields[b.field] = n
		// Nothing here sends heartbeats, so the first one that is missing ends
		// the task.
		if end := r.now.Add(time.Duration(min(n, 99999999)) * time.Second); t.limit.IsZero() || end.Before(t.limit) {
			t.limit = end
		}
	}
	if task.Role != "" {
		fields["taskCredentials"] = map[string]any{"roleArn": task.Role}
	}
	if s.isFunction() {
		fields["resource"], fields["input"], fields["inputDetails"] = s.Resource, payload{input}, complete
		r.event(t, "LambdaFunctionScheduled", "lambdaFunctionScheduledEventDetails", fields)
		r.event(t, "LambdaFunctionStarted", "", nil)
	} else {
		fields["resourceType"], fields["resource"] = s.service()
		fields["region"], fields["parameters"] = r.options.Region, payload{input}
		r.event(t, "TaskScheduled", "taskScheduledEventDetails", fields)
		r.taskEvent(t, "TaskStarted", "taskStartedEventDetails", map[string]any{})
	}
	t.job, t.phase, t.until = r.options.Host.Begin(task), tasking, r.now
	return nil
}

func (r *Run) taskEvent(t *thread, name, detail string, fields map[string]any) {
	fields["resourceType"], fields["resource"] = t.state.service()
	r.event(t, name, detail, fields)
}

// isFunction reports whether the task's resource is a Lambda function.
func (s *State) isFunction() bool {
	return strings.HasPrefix(strings.Join(strings.SplitN(s.Resource, ":", 4)[2:3], ""), "lambda")
}

// service divides the resource of an integration: "aws-sdk:ssm", "getParameter".
func (s *State) service() (service, action string) {
	rest := strings.SplitN(s.Resource, ":", 6)[5]
	// "states:startExecution.sync:2" ends in a version.
	cut := strings.LastIndex(strings.TrimSuffix(rest, ":2"), ":")
	if cut < 0 {
		return "", rest
	}
	return rest[:cut], rest[cut+1:]
}

// poll reports whether the job has ended, and goes on if it has.
func (r *Run) poll(t *thread) bool {
	s := t.state
	result, again := t.job.Poll(r.now)
	if result == nil {
		if t.limit.IsZero() || r.now.Before(t.limit) {
			t.until = again
			return false
		}
		t.job.Stop()
		f := &Failure{ErrTimeout, ""}
		if s.isFunction() {
			r.event(t, "LambdaFunctionTimedOut", "lambdaFunctionTimedOutEventDetails", f.fields())
		} else {
			r.taskEvent(t, "TaskTimedOut", "taskTimedOutEventDetails", f.fields())
		}
		r.fail(t, f)
		return true
	}
	if f := result.Failure; f != nil {
		if s.isFunction() {
			r.event(t, "LambdaFunctionFailed", "lambdaFunctionFailedEventDetails", f.fields())
		} else {
			r.taskEvent(t, "TaskFailed", "taskFailedEventDetails", f.fields())
		}
		r.fail(t, f)
		return true
	}
	err := tooLarge(s)
	if r.charge(result.Output, MaxData) {
		fields := map[string]any{"output": payload{result.Output}, "outputDetails": complete}
		if s.isFunction() {
			r.event(t, "LambdaFunctionSucceeded", "lambdaFunctionSucceededEventDetails", fields)
		} else {
			r.taskEvent(t, "TaskSucceeded", "taskSucceededEventDetails", fields)
		}
		err = r.finish(t, result.Output)
	}
	if err != nil {
		r.fail(t, r.asFailure(t, err))
	}
	return true
}
