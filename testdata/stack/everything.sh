#!/bin/sh
# Access for Dane-Sp-ka-f0d22a8d: an IAM role that its AWS account 111122223333 assumes with an external ID. Deleting the stack ends the access.
# made by crossaccount v1.2.3, version 1
# content 12a703b67450afa2fd43e122a50a6d5b9e16728beafac254d9574632f0599356
# Run it with --help to see what it takes; with "remove" it undoes everything.

set -euf
LC_ALL=C AWS_PAGER=''
export LC_ALL AWS_PAGER

usage() {
  printf '%s\n' 'usage: sh FILE [apply|remove] [OPTIONS]'
  printf '%s\n' '  --external-id VALUE  The external ID that Dane-Sp-ka-f0d22a8d gave you. Leave it as it is. (required)'
  printf '%s\n' '  --previous-external-id VALUE  Only while the external ID is being changed: the one before, which is trusted as well. Empty otherwise.'
  printf '%s\n' '  --role-name VALUE  Name of the role. Changing it later replaces the role. (default: Dane-Sp-ka-f0d22a8d-access)'
  printf '%s\n' '  --setup-phase VALUE  true while Dane-Sp-ka-f0d22a8d sets itself up, if it needs permissions for that. Set it to false afterwards to remove those permissions. (default: true)'
}

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

# check NAME VALUE MIN MAX PATTERN RULE: ends the script if a value is illegal.
check() {
  case $2 in *[[:cntrl:]]*) fail "$1 contains a control character" ;; esac
  if [ ${#2} -lt "$3" ] || [ ${#2} -gt "$4" ]; then fail "$1 must have $3 to $4 characters"; fi
  if [ -n "$5" ] && ! printf '%s\n' "$2" | grep -Eqx -e "$5"; then fail "$1 must be $6"; fi
}

# json TEXT: prints the text as it stands inside a JSON string.
json() {
  printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g'
}

# exists COMMAND...: whether a get command finds something. Any other error than
# that there is no such thing ends the script.
exists() {
  if answer=$("$@" 2>&1); then return 0; fi
  case $answer in *NoSuchEntity*) return 1 ;; esac
  fail "$answer"
}

# put_role NAME ARN CREATE UPDATE TRUST: creates or updates a role.
put_role() {
  if exists aws iam get-role --role-name="$1"; then
    found=$(aws iam get-role --role-name="$1" --query Role.Arn --output text)
    [ "$found" = "$2" ] || fail "there is another role with this name, $found; choose another name or remove it"
    aws iam update-assume-role-policy --cli-input-json "$5"
    aws iam update-role --cli-input-json "$4" >/dev/null
  else
    aws iam create-role --cli-input-json "$3" >/dev/null
  fi
}

# put_policy ARN CREATE VERSION: creates a managed policy, or a new version of it.
put_policy() {
  if exists aws iam get-policy --policy-arn="$1"; then
    count=$(aws iam list-policy-versions --policy-arn="$1" --query 'length(Versions)' --output text)
    if [ "$count" -ge 5 ]; then
      oldest=$(aws iam list-policy-versions --policy-arn="$1" --query 'sort_by(Versions[?!IsDefaultVersion], &CreateDate)[0].VersionId' --output text)
      aws iam delete-policy-version --policy-arn="$1" --version-id="$oldest"
    fi
    aws iam create-policy-version --cli-input-json "$3" >/dev/null
  else
    aws iam create-policy --cli-input-json "$2" >/dev/null
  fi
}

# remove_policy ARN: detaches a managed policy from all roles and deletes it.
remove_policy() {
  if exists aws iam get-policy --policy-arn="$1"; then
    list=$(aws iam list-entities-for-policy --policy-arn="$1" --entity-filter Role --query 'PolicyRoles[].RoleName' --output text)
    for entity in $list; do
      aws iam detach-role-policy --role-name="$entity" --policy-arn="$1"
    done
    list=$(aws iam list-policy-versions --policy-arn="$1" --query 'Versions[?!IsDefaultVersion].VersionId' --output text)
    for version in $list; do
      aws iam delete-policy-version --policy-arn="$1" --version-id="$version"
    done
    aws iam delete-policy --policy-arn="$1"
  fi
}

# prune ROLE PATH ARN...: removes the role's policies on a path, except these.
# They come from an earlier version of this script.
prune() {
  pruned_role=$1 pruned_path=$2
  shift 2
  list=$(aws iam list-attached-role-policies --role-name="$pruned_role" --path-prefix="$pruned_path" --query 'AttachedPolicies[].PolicyArn' --output text)
  for attached in $list; do
    keep=false
    for arn in "$@"; do
      if [ "$arn" = "$attached" ]; then keep=true; fi
    done
    if [ "$keep" = false ]; then remove_policy "$attached"; fi
  done
}

# remove_role NAME ARN: removes a role with its inline policies.
remove_role() {
  if exists aws iam get-role --role-name="$1"; then
    found=$(aws iam get-role --role-name="$1" --query Role.Arn --output text)
    [ "$found" = "$2" ] || fail "there is another role with this name, $found; it stays"
    list=$(aws iam list-attached-role-policies --role-name="$1" --query 'AttachedPolicies[].PolicyArn' --output text)
    for attached in $list; do
      aws iam detach-role-policy --role-name="$1" --policy-arn="$attached"
    done
    list=$(aws iam list-role-policies --role-name="$1" --query 'PolicyNames[]' --output text)
    for inline in $list; do
      aws iam delete-role-policy --role-name="$1" --policy-name="$inline"
    done
    aws iam delete-role --role-name="$1"
  fi
}

action=apply
p_external_id=''
given_p_external_id=false
p_previous_external_id=''
p_role_name='Dane-Sp-ka-f0d22a8d-access'
p_setup_phase='true'
while [ $# -gt 0 ]; do
  case $1 in
    apply|remove) action=$1; shift; continue ;;
    --external-id) [ $# -ge 2 ] || fail '--external-id needs a value'; p_external_id=$2 given_p_external_id=true ;;
    --previous-external-id) [ $# -ge 2 ] || fail '--previous-external-id needs a value'; p_previous_external_id=$2 ;;
    --role-name) [ $# -ge 2 ] || fail '--role-name needs a value'; p_role_name=$2 ;;
    --setup-phase) [ $# -ge 2 ] || fail '--setup-phase needs a value'; p_setup_phase=$2 ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift 2
done
if [ "$given_p_external_id" = true ] || [ "$action" = apply ]; then
  [ "$given_p_external_id" = true ] || fail '--external-id is required'
  check --external-id "$p_external_id" 2 1224 '[A-Za-z0-9_+=,.@:/-]+' '2 to 1224 letters, digits and _+=,.@:/-'
fi
check --previous-external-id "$p_previous_external_id" 0 1224 '[A-Za-z0-9_+=,.@:/-]*' 'empty, or up to 1224 letters, digits and _+=,.@:/-'
check --role-name "$p_role_name" 1 64 '[A-Za-z0-9_+=,.@-]+' '1 to 64 letters, digits and _+=,.@-'
check --setup-phase "$p_setup_phase" 0 4096 '' ''
case $p_setup_phase in 'true'|'false') ;; *) fail '--setup-phase must be one of true, false' ;; esac

caller=$(aws sts get-caller-identity --query Arn --output text)
partition=$(printf '%s' "$caller" | cut -d : -f 2)
account_id=$(printf '%s' "$caller" | cut -d : -f 5)
case $account_id in *[!0-9]*|'') fail 'cannot tell the account from the aws credentials' ;; esac
r_role_name="$p_role_name"
r_role_arn='arn:'"$partition"':iam::'"$account_id"':role/Dane-Sp-ka-f0d22a8d/'"$p_role_name"
r_ongoing_policy1_name="$p_role_name"'-ongoing-1'
r_ongoing_policy1_arn='arn:'"$partition"':iam::'"$account_id"':policy/Dane-Sp-ka-f0d22a8d/'"$p_role_name"'-ongoing-1'
r_ongoing_policy2_name="$p_role_name"'-ongoing-2'
r_ongoing_policy2_arn='arn:'"$partition"':iam::'"$account_id"':policy/Dane-Sp-ka-f0d22a8d/'"$p_role_name"'-ongoing-2'
r_ongoing_policy3_name="$p_role_name"'-ongoing-3'
r_ongoing_policy3_arn='arn:'"$partition"':iam::'"$account_id"':policy/Dane-Sp-ka-f0d22a8d/'"$p_role_name"'-ongoing-3'
r_ongoing_policy4_name="$p_role_name"'-ongoing-4'
r_ongoing_policy4_arn='arn:'"$partition"':iam::'"$account_id"':policy/Dane-Sp-ka-f0d22a8d/'"$p_role_name"'-ongoing-4'
r_setup_policy1_name="$p_role_name"'-setup-1'
r_setup_policy1_arn='arn:'"$partition"':iam::'"$account_id"':policy/Dane-Sp-ka-f0d22a8d/'"$p_role_name"'-setup-1'
c_has_previous_external_id=false
if ! [ "$p_previous_external_id" = '' ]; then c_has_previous_external_id=true; fi
c_setup_phase_active=false
if [ "$p_setup_phase" = 'true' ]; then c_setup_phase_active=true; fi

if [ "$action" = remove ]; then
  remove_policy "$r_setup_policy1_arn"
  remove_policy "$r_ongoing_policy4_arn"
  remove_policy "$r_ongoing_policy3_arn"
  remove_policy "$r_ongoing_policy2_arn"
  remove_policy "$r_ongoing_policy1_arn"
  if exists aws iam get-role --role-name="$r_role_name"; then
    prune "$r_role_name" '/Dane-Sp-ka-f0d22a8d/'
  fi
  remove_role "$r_role_name" "$r_role_arn"
  echo 'Removed.'
  exit 0
fi

v_2=''
if [ "$c_has_previous_external_id" = true ]; then v_2=',"'"$(json "$p_previous_external_id")"'"'; fi
v_1='{"Version":"2012-10-17","Statement":[{"Sid":"AssumeWithExternalId","Effect":"Allow","Principal":{"AWS":"arn:'"$(json "$partition")"':iam::111122223333:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":["'"$(json "$p_external_id")"'"'"$v_2"']},"ArnLike":{"aws:PrincipalArn":["arn:'"$(json "$partition")"':iam::111122223333:role/broker","arn:'"$(json "$partition")"':iam::111122223333:role/probes/*"]}}},{"Sid":"SetSessionTags","Effect":"Allow","Principal":{"AWS":"arn:'"$(json "$partition")"':iam::111122223333:root"},"Action":"sts:TagSession","Condition":{"ArnLike":{"aws:PrincipalArn":["arn:'"$(json "$partition")"':iam::111122223333:role/broker","arn:'"$(json "$partition")"':iam::111122223333:role/probes/*"]}}},{"Sid":"SetSourceIdentity","Effect":"Allow","Principal":{"AWS":"arn:'"$(json "$partition")"':iam::111122223333:root"},"Action":"sts:SetSourceIdentity","Condition":{"ArnLike":{"aws:PrincipalArn":["arn:'"$(json "$partition")"':iam::111122223333:role/broker","arn:'"$(json "$partition")"':iam::111122223333:role/probes/*"]}}}]}'
put_role "$r_role_name" "$r_role_arn" '{"RoleName":"'"$(json "$p_role_name")"'","Path":"/Dane-Sp-ka-f0d22a8d/","AssumeRolePolicyDocument":"'"$(json "$v_1")"'","PermissionsBoundary":"arn:'"$(json "$partition")"':iam::'"$(json "$account_id")"':policy/boundaries/vendors","Tags":[{"Key":"cost-center","Value":"42"},{"Key":"owner","Value":"platform team"}],"Description":"Assumed by Dane-Sp-ka-f0d22a8d (AWS account 111122223333) with an external ID","MaxSessionDuration":43200}' '{"RoleName":"'"$(json "$p_role_name")"'","Description":"Assumed by Dane-Sp-ka-f0d22a8d (AWS account 111122223333) with an external ID","MaxSessionDuration":43200}' '{"RoleName":"'"$(json "$p_role_name")"'","PolicyDocument":"'"$(json "$v_1")"'"}'
aws iam put-role-permissions-boundary --cli-input-json '{"RoleName":"'"$(json "$p_role_name")"'","PermissionsBoundary":"arn:'"$(json "$partition")"':iam::'"$(json "$account_id")"':policy/boundaries/vendors"}'
aws iam tag-role --cli-input-json '{"RoleName":"'"$(json "$p_role_name")"'","Tags":[{"Key":"cost-center","Value":"42"},{"Key":"owner","Value":"platform team"}]}'
v_3='{"Version":"2012-10-17","Statement":[{"Sid":"ReadOwnRole","Effect":"Allow","Action":["iam:GetRole","iam:GetRolePolicy","iam:ListAttachedRolePolicies","iam:ListRolePolicies"],"Resource":"arn:'"$(json "$partition")"':iam::'"$(json "$account_id")"':role/Dane-Sp-ka-f0d22a8d/'"$(json "$p_role_name")"'"},{"Sid":"ReadOwnPolicies","Effect":"Allow","Action":["iam:GetPolicy","iam:GetPolicyVersion","iam:ListPolicyVersions"],"Resource":"arn:'"$(json "$partition")"':iam::'"$(json "$account_id")"':policy/Dane-Sp-ka-f0d22a8d/'"$(json "$p_role_name")"'-*"}]}'
aws iam put-role-policy --cli-input-json '{"RoleName":"'"$(json "$p_role_name")"'","PolicyName":"self-inspection","PolicyDocument":"'"$(json "$v_3")"'"}'
prune "$r_role_name" '/Dane-Sp-ka-f0d22a8d/' "$r_ongoing_policy1_arn" "$r_ongoing_policy2_arn" "$r_ongoing_policy3_arn" "$r_ongoing_policy4_arn" "$r_setup_policy1_arn"
v_4='{"Version":"2012-10-17","Statement":[{"Sid":"ReadReports","Effect":"Allow","Action":"s3:GetObject","Resource":"arn:'"$(json "$partition")"':s3:::reports-'"$(json "$account_id")"'/*"},{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:'"$(json "$partition")"':s3:::reports-'"$(json "$account_id")"'","Condition":{"StringLike":{"s3:prefix":["${aws:PrincipalTag/team}/*","shared/*"]}}},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-000"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-001"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-002"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-003"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-004"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-005"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-006"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-007"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-008"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-009"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-010"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-011"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-012"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-013"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-014"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-015"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-016"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-017"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-018"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-019"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-020"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-021"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-022"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-023"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-024"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-025"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-026"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-027"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-028"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-029"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-030"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-031"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-032"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-033"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-034"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-035"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-036"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-037"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-038"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-039"}]}'
put_policy "$r_ongoing_policy1_arn" '{"PolicyName":"'"$(json "$p_role_name")"'-ongoing-1","Path":"/Dane-Sp-ka-f0d22a8d/","Description":"Permissions of the ongoing phase of the role it is attached to","PolicyDocument":"'"$(json "$v_4")"'"}' '{"PolicyArn":"'"$(json "$r_ongoing_policy1_arn")"'","PolicyDocument":"'"$(json "$v_4")"'","SetAsDefault":true}'
aws iam attach-role-policy --cli-input-json '{"RoleName":"'"$(json "$r_role_name")"'","PolicyArn":"'"$(json "$r_ongoing_policy1_arn")"'"}'
v_5='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-040"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-041"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-042"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-043"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-044"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-045"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-046"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-047"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-048"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-049"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-050"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-051"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-052"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-053"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-054"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-055"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-056"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-057"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-058"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-059"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-060"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-061"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-062"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-063"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-064"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-065"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-066"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-067"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-068"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-069"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-070"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-071"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-072"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-073"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-074"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-075"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-076"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-077"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-078"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-079"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-080"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-081"}]}'
put_policy "$r_ongoing_policy2_arn" '{"PolicyName":"'"$(json "$p_role_name")"'-ongoing-2","Path":"/Dane-Sp-ka-f0d22a8d/","Description":"Permissions of the ongoing phase of the role it is attached to","PolicyDocument":"'"$(json "$v_5")"'"}' '{"PolicyArn":"'"$(json "$r_ongoing_policy2_arn")"'","PolicyDocument":"'"$(json "$v_5")"'","SetAsDefault":true}'
aws iam attach-role-policy --cli-input-json '{"RoleName":"'"$(json "$r_role_name")"'","PolicyArn":"'"$(json "$r_ongoing_policy2_arn")"'"}'
v_6='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-082"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-083"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-084"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-085"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-086"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-087"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-088"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-089"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-090"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-091"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-092"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-093"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-094"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-095"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-096"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-097"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-098"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-099"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-100"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-101"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-102"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-103"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-104"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-105"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-106"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-107"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-108"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-109"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-110"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-111"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-112"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-113"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-114"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-115"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-116"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-117"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-118"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-119"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-120"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-121"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-122"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-123"}]}'
put_policy "$r_ongoing_policy3_arn" '{"PolicyName":"'"$(json "$p_role_name")"'-ongoing-3","Path":"/Dane-Sp-ka-f0d22a8d/","Description":"Permissions of the ongoing phase of the role it is attached to","PolicyDocument":"'"$(json "$v_6")"'"}' '{"PolicyArn":"'"$(json "$r_ongoing_policy3_arn")"'","PolicyDocument":"'"$(json "$v_6")"'","SetAsDefault":true}'
aws iam attach-role-policy --cli-input-json '{"RoleName":"'"$(json "$r_role_name")"'","PolicyArn":"'"$(json "$r_ongoing_policy3_arn")"'"}'
v_7='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-124"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-125"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-126"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-127"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-128"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-129"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-130"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-131"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-132"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-133"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-134"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-135"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-136"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-137"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-138"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-139"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-140"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-141"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-142"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-143"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-144"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-145"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-146"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-147"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-148"},{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"arn:'"$(json "$partition")"':dynamodb:eu-west-1:'"$(json "$account_id")"':table/events-149"}]}'
put_policy "$r_ongoing_policy4_arn" '{"PolicyName":"'"$(json "$p_role_name")"'-ongoing-4","Path":"/Dane-Sp-ka-f0d22a8d/","Description":"Permissions of the ongoing phase of the role it is attached to","PolicyDocument":"'"$(json "$v_7")"'"}' '{"PolicyArn":"'"$(json "$r_ongoing_policy4_arn")"'","PolicyDocument":"'"$(json "$v_7")"'","SetAsDefault":true}'
aws iam attach-role-policy --cli-input-json '{"RoleName":"'"$(json "$r_role_name")"'","PolicyArn":"'"$(json "$r_ongoing_policy4_arn")"'"}'
if [ "$c_setup_phase_active" = true ]; then
  v_8='{"Version":"2012-10-17","Statement":[{"Sid":"CreateReports","Effect":"Allow","Action":"s3:CreateBucket","Resource":"arn:'"$(json "$partition")"':s3:::reports-'"$(json "$account_id")"'"}]}'
  put_policy "$r_setup_policy1_arn" '{"PolicyName":"'"$(json "$p_role_name")"'-setup-1","Path":"/Dane-Sp-ka-f0d22a8d/","Description":"Permissions of the setup phase of the role it is attached to","PolicyDocument":"'"$(json "$v_8")"'"}' '{"PolicyArn":"'"$(json "$r_setup_policy1_arn")"'","PolicyDocument":"'"$(json "$v_8")"'","SetAsDefault":true}'
  aws iam attach-role-policy --cli-input-json '{"RoleName":"'"$(json "$r_role_name")"'","PolicyArn":"'"$(json "$r_setup_policy1_arn")"'"}'
else
  remove_policy "$r_setup_policy1_arn"
fi

printf '%s: %s\n' 'RoleArn' "$r_role_arn"
printf '%s: %s\n' 'ExternalId' "$p_external_id"
if [ "$c_setup_phase_active" = true ]; then v_9='Setup permissions are granted. When setup is complete, update this stack with SetupPhase=false and keep all other parameters. To end the access of Dane-Sp-ka-f0d22a8d, delete this stack.'; else v_9='No setup permissions are granted. To end the access of Dane-Sp-ka-f0d22a8d, delete this stack.'; fi
printf '%s: %s\n' 'NextSteps' "$v_9"
