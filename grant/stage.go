package grant

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// localStage is for work on one's own machine. It never has consumers.
const localStage = "dev"

// defaultStages is the mapping that applies when a manifest declares no stages.
func defaultStages() map[string]Stage {
	return map[string]Stage{
		localStage: {ConsumerStage: "development"},
		"alpha":    {ConsumerStage: "testing"},
		"beta":     {ConsumerStage: "staging"},
		"prod":     {ConsumerStage: "production"},
	}
}

// stages returns the declared stages, or the usual ones.
func (m *Manifest) stages() map[string]Stage {
	if len(m.Stages) == 0 {
		return defaultStages()
	}
	return m.Stages
}

func (m *Manifest) stageNames() []string { return slices.Sorted(maps.Keys(m.stages())) }

func exported(name string, s Stage) bool {
	if s.Exported != nil {
		return *s.Exported
	}
	return name != localStage
}

func production(name string, s Stage) bool {
	if s.Production != nil {
		return *s.Production
	}
	return name == "prod" || name == "production"
}

func (c Consumer) production(stage string) bool {
	if len(c.ProductionStages) > 0 {
		return slices.Contains(c.ProductionStages, stage)
	}
	return stage == "production" || stage == "prod"
}

// consumerStage returns the consumer's stage that uses a stage, or "".
func (m *Manifest) consumerStage(consumer, stage string) string {
	if s, ok := m.Consumers[consumer].Stages[stage]; ok {
		return s
	}
	return m.stages()[stage].ConsumerStage
}

// waived returns the waiver of a rule in a stage of a grant.
func (g *Grant) waived(rule, stage string) (Waiver, bool) {
	for _, w := range g.Waive {
		if w.Rule == rule && (len(w.Stages) == 0 || slices.Contains(w.Stages, stage)) {
			return w, true
		}
	}
	return Waiver{}, false
}

// A pairing is a stage of an app and the stage of the consumer that uses it.
type pairing struct{ stage, consumerStage string }

// pairings returns the stages that a grant holds in, and reports those that may
// not be shared.
func (m *Manifest) pairings(at string, g *Grant, report func(Problem)) []pairing {
	app := m.Apps[m.appOf(g.Resource)]
	consumer := m.Consumers[g.Consumer]
	wanted := g.Stages
	if len(wanted) == 0 {
		for _, name := range m.stageNames() {
			if _, ok := app.Accounts[name]; ok && exported(name, m.stages()[name]) {
				wanted = append(wanted, name)
			}
		}
		if len(wanted) == 0 {
			report(m.problem(RuleStage, at, "add accounts of exported stages to the app", "the app %q has no stage that is exported, so %q gets nothing", m.appOf(g.Resource), g.Name))
		}
	}
	var pairs []pairing
	for i, name := range wanted {
		where := at
		if len(g.Stages) > 0 {
			where = fmt.Sprintf("%s.stages[%d]", at, i)
		}
		stage, known := m.stages()[name]
		switch {
		case !known:
			report(m.unknown(where, "stage", name, m.stageNames()))
			continue
		case name == localStage:
			report(m.problem(RuleStage, where, "grant it in alpha", "the stage dev is for local work and has no consumers"))
			continue
		case !exported(name, stage):
			report(m.problem(RuleStage, where, "leave it out of the grant, or set exported: true for the stage", "the stage %q is not exported", name))
			continue
		}
		if _, ok := app.Accounts[name]; !ok {
			report(m.problem(RuleStage, where, "add it to apps."+m.appOf(g.Resource)+".accounts, or leave it out of the grant", "the app %q has no account for stage %q", m.appOf(g.Resource), name))
			continue
		}
		if g.RoleOf != "" {
			pairs = append(pairs, pairing{name, name})
			continue
		}
		theirs := m.consumerStage(g.Consumer, name)
		if theirs == "" {
			report(m.problem(RuleStage, where, fmt.Sprintf("set consumer_stage in stages.%s, or consumers.%s.stages.%s", name, g.Consumer, name), "the stage %q is not mapped to a stage of the consumer %q", name, g.Consumer))
			continue
		}
		if _, ok := consumer.Accounts[theirs]; !ok {
			report(m.problem(RuleStage, where, fmt.Sprintf("add consumers.%s.accounts.%s, map the stage in consumers.%s.stages, or list the stages of the grant", g.Consumer, theirs, g.Consumer),
				"the stage %q is mapped to %q of the consumer %q, which has no account for it", name, theirs, g.Consumer))
			continue
		}
		if ours := production(name, stage); ours != consumer.production(theirs) {
			if _, ok := g.waived(RuleStage, name); !ok {
				which := "stage %q is not production, but %q of the consumer %q is"
				if ours {
					which = "stage %q is production, but %q of the consumer %q is not"
				}
				report(m.problem(RuleStage, where, fmt.Sprintf("map the stages otherwise, or write a waiver: waive: [{rule: GX-B06, stages: [%s], reason: …}]", name), which, name, theirs, g.Consumer))
				continue
			}
		}
		pairs = append(pairs, pairing{name, theirs})
	}
	return pairs
}

// problem makes a problem at a path of the manifest.
func (m *Manifest) problem(rule, path, remedy, format string, args ...any) Problem {
	return Problem{m.Position(path), rule, path, fmt.Sprintf(format, args...), remedy}
}

// unknown makes the problem of a name that was not declared.
func (m *Manifest) unknown(path, what, name string, known []string) Problem {
	remedy := "declared are: " + strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	} else if len(known) == 0 {
		remedy = "declare it"
	}
	return m.problem(RuleReference, path, remedy, "there is no %s %q", what, clip(name))
}
