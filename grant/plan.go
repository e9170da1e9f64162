package grant

import (
	"github.com/crossaccount/crossaccount/iam"
	"github.com/crossaccount/crossaccount/template"
)

// A Plan is a compiled manifest: what to create where, and in which order.
type Plan struct {
	Format Format  `json:"format"`
	Waves  []*Wave `json:"waves"`
	Grants []Given `json:"grants"`
	// Weighings is what speaks for and against the ways that grants take, by
	// [Given.Weighed].
	Weighings map[string]Weighing `json:"weighings"`
	// Before lists what must exist before the first wave: roles of consumers that
	// policies name, and resources whose policies are written.
	Before []string `json:"before,omitempty"`
	// Warnings are choices that deserve a second look, with where they are made.
	Warnings []Problem `json:"warnings,omitempty"`

	// Kubernetes are manifests for clusters whose pods use roles.
	Kubernetes []KubernetesFile `json:"kubernetes,omitempty"`

	roles     []*roleUnit
	endpoints []*gate
	found     map[string]Input
	edges     []*edge
	documents []*Document
}

// A Wave holds stacks that can be deployed at the same time, when those of the
// waves before are there.
type Wave struct {
	Number int      `json:"number"` // from 1
	Stacks []*Stack `json:"stacks"`
}

// A Stack is what one wave creates in one account and region for one stage.
type Stack struct {
	Name      string `json:"name"`
	Account   string `json:"account"` // its name in the manifest
	AccountID string `json:"account_id"`
	Partition string `json:"partition"`
	Region    string `json:"region"`
	Profile   string `json:"profile"` // of the aws CLI
	Stage     string `json:"stage"`
	Directory string `json:"directory"` // of its files, below the output's

	// Template is what the stack creates; nil if it only has documents to write.
	Template *template.Stack `json:"-"`
	Inputs   []Input         `json:"inputs,omitempty"`
	Applies  []Apply         `json:"applies,omitempty"`
	Then     [][]string      `json:"then,omitempty"` // commands that must follow every change
	Tags     []template.Tag  `json:"-"`
	Grants   []string        `json:"grants"` // that it serves

	units []*unit
	data  []byte // the template as CloudFormation takes it
	then  [][]string
	found map[string]Input // :: id of a symbol → where its value is found
}

// An Input is a parameter that gets the value of an output of a stack of an
// earlier wave, or of something that exists outside the plan: then Elsewhere is
// set, and the value is an output of a stack, an export or an SSM parameter.
type Input struct {
	Parameter     string `json:"parameter"`
	FromStack     string `json:"from_stack,omitempty"`
	FromOutput    string `json:"from_output,omitempty"`
	FromExport    string `json:"from_export,omitempty"`
	FromParameter string `json:"from_parameter,omitempty"`
	FromAccount   string `json:"from_account"` // its id
	FromRegion    string `json:"from_region"`
	Elsewhere     bool   `json:"elsewhere,omitempty"`

	profile string // of the aws CLI
	from    *Stack // nil for Elsewhere
}

// An Apply is a document that a command writes, because CloudFormation cannot
// change it on a resource it did not create. In the format policies it is any
// document.
type Apply struct {
	Title  string      `json:"title"`
	File   string      `json:"file"` // below the stack's directory
	Put    []string    `json:"put,omitempty"`
	Remove []string    `json:"remove,omitempty"`
	Policy *iam.Policy `json:"-"`

	put, remove []string // with symbols for values that are found elsewhere

	Data []byte `json:"-"` // of the file, if it is not the policy itself

	// After is what Remove puts in the document's place, if it is not simply
	// deleted.
	After     *iam.Policy `json:"-"`
	AfterData []byte      `json:"-"` // of its file, if it is not the policy itself
}

// A Given is a grant in one stage, as it was compiled.
type Given struct {
	Grant         string   `json:"grant"`
	App           string   `json:"app"`
	Stage         string   `json:"stage"`
	Consumer      string   `json:"consumer"`
	ConsumerStage string   `json:"consumer_stage"`
	Access        []string `json:"access"`
	Resource      string   `json:"resource"`      // in the manifest
	ARN           string   `json:"arn,omitempty"` // unless only AWS knows it
	Kind          string   `json:"kind"`
	Principal     string   `json:"principal"`        // ARN of the role, or of the account
	Assume        string   `json:"assume,omitempty"` // ARN of the role it assumes
	Via           string   `json:"via"`              // policy, role or trust
	Why           string   `json:"why"`
	Weighed       string   `json:"weighed"` // key of [Plan.Weighings]: kind, way and trust
	Trust         string   `json:"trust"`   // named, matched or account
	Actions       []string `json:"actions"`
	Waivers       []string `json:"waivers,omitempty"`
}

// A Document is one compiled policy, whichever form it is deployed in.
type Document struct {
	Title     string
	Account   string // its id
	Kind      iam.Kind
	Service   string // of resource policies
	Principal string // ARN of the role that identity policies belong to, and trust policies
	Resource  string // ARN of the resource that resource policies belong to
	Inline    bool   // of identity policies: part of the role
	Policy    *iam.Policy
	Grants    []string

	edges  []*edge    // that it serves: grants in their stages
	serves [][]string // of each statement, the grants; nil if that is not known, as in what consumers' roles have
}

// Documents returns every compiled policy, in the order of the manifest. They
// must not be changed.
func (p *Plan) Documents() []*Document { return p.documents }

// Stacks returns the stacks of all waves, in order.
func (p *Plan) Stacks() []*Stack {
	var all []*Stack
	for _, w := range p.Waves {
		all = append(all, w.Stacks...)
	}
	return all
}
