package asl

import "slices"

// inlineConcurrency is how many iterations of an inline Map state AWS runs at a
// time.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html
const inlineConcurrency = 40

func (r *Run) beginMap(t *thread, env *environment) error {
	s := t.state
	v, err := s.items.Get(env.Scope)
	if err != nil {
		return runtimeFailure("Invalid path '%s': %s", clip(s.items.text), err)
	}
	list, ok := v.([]any)
	if !ok {
		return runtimeFailure("Reference path \"%s\" must point to array.", clip(s.items.text))
	}
	most, err := s.concurrency.get(env)
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(list))
	for i, item := range list {
		items[i] = map[string]any{"Index": Number(i), "Value": item}
	}
	r.fork(t, list, items, most)
	return nil
}

// fork begins the threads of a state.
func (r *Run) fork(t *thread, inputs []any, items []map[string]any, most int) {
	if most == 0 || items != nil && most > inlineConcurrency {
		most = inlineConcurrency
	}
	if items == nil {
		most = len(inputs)
	}
	f := &fork{of: t, inputs: inputs, items: items, running: make([]*thread, len(inputs)), results: make([]any, len(inputs)), most: most, left: len(inputs)}
	var fields map[string]any
	detail := ""
	if items != nil {
		fields, detail = map[string]any{"length": len(items)}, "mapStateStartedEventDetails"
	}
	f.started = r.event(t, t.state.Type+"StateStarted", detail, fields)
	t.fork, t.phase = f, forked
}

// thread begins the next thread of a fork.
func (r *Run) thread(f *fork) (*thread, error) {
	t, i := f.of, f.next
	f.next++
	child := &thread{machine: t.state.branches[0], raw: f.inputs[i], variables: t.variables, item: t.item, last: f.started}
	if f.items == nil {
		child.machine = t.state.branches[i]
	} else {
		child.item = f.items[i]
		r.event(child, "MapIterationStarted", "mapIterationStartedEventDetails", map[string]any{"name": t.state.Name, "index": i})
		if t.state.parameters != nil {
			in, err := filtered(t.state.input, r.environment(t, t.raw))
			if err != nil {
				return nil, err
			}
			env := r.environment(t, in)
			env.Context.(map[string]any)["Map"] = map[string]any{"Item": child.item}
			if child.raw, err = t.state.parameters.get(env); err != nil {
				return nil, err
			}
			if !r.charge(child.raw, MaxData) {
				return nil, tooLarge(t.state)
			}
		}
	}
	child.at = child.machine.StartAt
	f.running[i] = child
	return child, nil
}

// join moves the threads of a state on, and reports whether the state goes on:
// all have ended well, or one has failed.
func (r *Run) join(t *thread) bool {
	f := t.fork
	active := 0
	for _, child := range f.running[:f.next] {
		if child != nil {
			active++
		}
	}
	for i := 0; i < len(f.running) && (i < f.next || active < f.most); i++ {
		child := f.running[i]
		if i >= f.next {
			active++
			var err error
			if child, err = r.thread(f); err != nil {
				r.failFork(t, i, r.asFailure(t, err))
				return true
			}
		}
		if child == nil {
			continue
		}
		r.run(child)
		switch {
		case child.failure != nil:
			r.failFork(t, i, child.failure)
			return true
		case child.done:
			f.results[i], f.running[i] = child.raw, nil
			f.left--
			active--
			if f.items != nil {
				r.event(child, "MapIterationSucceeded", "mapIterationSucceededEventDetails", map[string]any{"name": t.state.Name, "index": i})
			}
			t.last = child.last
		}
	}
	if f.left > 0 {
		return false
	}
	result := slices.Clone(f.results)
	if result == nil {
		result = []any{}
	}
	r.event(t, t.state.Type+"StateSucceeded", "", nil)
	t.fork = nil
	err := tooLarge(t.state)
	if r.charge(any(result), MaxData) {
		err = r.finish(t, any(result))
	}
	if err != nil {
		r.fail(t, r.asFailure(t, err))
	}
	return true
}

// failFork ends the other threads of a state because one has failed.
func (r *Run) failFork(t *thread, index int, failure *Failure) {
	f := t.fork
	if child := f.running[index]; child != nil {
		t.last = child.last
	}
	if f.items != nil {
		r.event(t, "MapIterationFailed", "mapIterationFailedEventDetails", map[string]any{"name": t.state.Name, "index": index})
	}
	for _, child := range f.running {
		if child != nil {
			child.stop()
		}
	}
	r.event(t, t.state.Type+"StateFailed", "", nil)
	r.fail(t, failure)
}
