// Reads {case, samples, milliseconds} on standard input, decides the case with
// @cloud-copilot/iam-simulate again and again, and writes {nanoseconds}: the
// median CPU time of one decision.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const { case: c, samples, milliseconds } = JSON.parse(readFileSync(0, 'utf8'))
const simulation = {
  identityPolicies: c.identityPolicies,
  serviceControlPolicies: c.serviceControlPolicies,
  resourceControlPolicies: [],
  resourcePolicy: c.resourcePolicy,
  request: {
    action: c.request.action,
    principal: c.request.principal,
    resource: c.request.resource,
    contextVariables: c.request.context
  }
}
const spend = async (times) => {
  const start = process.cpuUsage()
  for (let i = 0; i < times; i++) {
    const result = await runSimulation(simulation, {})
    if (result.overallResult !== 'Allowed') throw new Error(JSON.stringify(result.errors ?? result.overallResult))
  }
  const used = process.cpuUsage(start)
  return used.user + used.system // microseconds
}
// The just-in-time compiler needs some time to be at its best.
for (let used = 0; used < 2_000_000; ) used += await spend(1)
let times = 1
for (let used = await spend(1); used < milliseconds * 250; used = await spend(times)) times *= 2
times *= 4
const taken = []
for (let i = 0; i < samples; i++) taken.push((await spend(times)) / times)
taken.sort((a, b) => a - b)
process.stdout.write(JSON.stringify({ nanoseconds: taken[samples >> 1] * 1000 }))
