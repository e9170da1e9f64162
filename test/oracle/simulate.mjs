// Reads an array of cases in the format of package iam/eval/cases on standard
// input, asks @cloud-copilot/iam-simulate, and writes [{name, response, error}].
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const named = (policies, prefix) =>
  (policies ?? []).map((p, i) => (p.policy ? p : { name: `${prefix}${i}`, policy: p }))
const bare = (p) => p?.policy ?? p
const levels = (list, prefix) =>
  (list ?? []).map((level, i) => ({
    orgIdentifier: level.orgIdentifier ?? `level-${i}`,
    policies: named(level.policies, prefix)
  }))

// The owner of a resource is in its ARN unless it is given; resources that show
// none belong to the caller.
const owner = (request) =>
  [request.resource.accountId, request.resource.resource.split(':')[4], String(request.principal).split(':')[4]].find((id) =>
    /^\d{12}$/.test(id ?? '')
  )

const answers = []
for (const c of JSON.parse(readFileSync(0, 'utf8'))) {
  const simulation = {
    identityPolicies: named(c.identityPolicies, 'identity'),
    serviceControlPolicies: levels(c.serviceControlPolicies, 'scp'),
    resourceControlPolicies: levels(c.resourceControlPolicies, 'rcp'),
    request: {
      action: c.request.action,
      principal: c.request.principal,
      resource: { resource: c.request.resource.resource, accountId: owner(c.request) },
      contextVariables: c.request.context ?? {}
    }
  }
  if (c.resourcePolicy) simulation.resourcePolicy = bare(c.resourcePolicy)
  if (c.permissionBoundaries) simulation.permissionBoundaryPolicies = named(c.permissionBoundaries, 'boundary')
  if (c.sessionPolicy) simulation.sessionPolicy = bare(c.sessionPolicy)
  if (c.endpointPolicies) simulation.vpcEndpointPolicies = named(c.endpointPolicies, 'endpoint')
  try {
    const result = await runSimulation(simulation, {})
    answers.push({
      name: c.name,
      response: result.overallResult ?? '',
      error: result.errors ? JSON.stringify(result.errors) : '',
      ignored: result.result?.ignoredContextKeys ?? []
    })
  } catch (e) {
    answers.push({ name: c.name, response: '', error: String(e) })
  }
}
process.stdout.write(JSON.stringify(answers))
