#!/bin/sh
# Access for Acme Analytics: an IAM role that its AWS account 111122223333 assumes with an external ID. Deleting the stack ends the access.
# version 1
# content 1f19653f2b815e43f45d2c6ef84f7456b77ad576baa9273bed8cc604b5eb1d5b
# Run it with --help to see what it takes; with "remove" it undoes everything.

set -euf
LC_ALL=C AWS_PAGER=''
export LC_ALL AWS_PAGER

usage() {
  printf '%s\n' 'usage: sh FILE [apply|remove] [OPTIONS]'
  printf '%s\n' '  --external-id VALUE  The external ID that Acme Analytics gave you. Leave it as it is. (required)'
  printf '%s\n' '  --previous-external-id VALUE  Only while the external ID is being changed: the one before, which is trusted as well. Empty otherwise.'
  printf '%s\n' '  --role-name VALUE  Name of the role. Changing it later replaces the role. (default: Acme-Analytics-access)'
  printf '%s\n' '  --setup-phase VALUE  true while Acme Analytics sets itself up, if it needs permissions for that. Set it to false afterwards to remove those permissions. (default: false)'
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
p_role_name='Acme-Analytics-access'
p_setup_phase='false'
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
r_role_arn='arn:'"$partition"':iam::'"$account_id"':role/Acme-Analytics/'"$p_role_name"
c_has_previous_external_id=false
if ! [ "$p_previous_external_id" = '' ]; then c_has_previous_external_id=true; fi
c_setup_phase_active=false
if [ "$p_setup_phase" = 'true' ]; then c_setup_phase_active=true; fi

if [ "$action" = remove ]; then
  if exists aws iam get-role --role-name="$r_role_name"; then
    prune "$r_role_name" '/Acme-Analytics/'
  fi
  remove_role "$r_role_name" "$r_role_arn"
  echo 'Removed.'
  exit 0
fi

v_2=''
if [ "$c_has_previous_external_id" = true ]; then v_2=',"'"$(json "$p_previous_external_id")"'"'; fi
v_1='{"Version":"2012-10-17","Statement":[{"Sid":"AssumeWithExternalId","Effect":"Allow","Principal":{"AWS":"arn:'"$(json "$partition")"':iam::111122223333:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":["'"$(json "$p_external_id")"'"'"$v_2"']}}}]}'
put_role "$r_role_name" "$r_role_arn" '{"RoleName":"'"$(json "$p_role_name")"'","Path":"/Acme-Analytics/","AssumeRolePolicyDocument":"'"$(json "$v_1")"'","Description":"Assumed by Acme Analytics (AWS account 111122223333) with an external ID","MaxSessionDuration":3600}' '{"RoleName":"'"$(json "$p_role_name")"'","Description":"Assumed by Acme Analytics (AWS account 111122223333) with an external ID","MaxSessionDuration":3600}' '{"RoleName":"'"$(json "$p_role_name")"'","PolicyDocument":"'"$(json "$v_1")"'"}'
v_3='{"Version":"2012-10-17","Statement":[{"Sid":"ReadOwnRole","Effect":"Allow","Action":["iam:GetRole","iam:GetRolePolicy","iam:ListAttachedRolePolicies","iam:ListRolePolicies"],"Resource":"arn:'"$(json "$partition")"':iam::'"$(json "$account_id")"':role/Acme-Analytics/'"$(json "$p_role_name")"'"},{"Sid":"ReadOwnPolicies","Effect":"Allow","Action":["iam:GetPolicy","iam:GetPolicyVersion","iam:ListPolicyVersions"],"Resource":"arn:'"$(json "$partition")"':iam::'"$(json "$account_id")"':policy/Acme-Analytics/'"$(json "$p_role_name")"'-*"}]}'
aws iam put-role-policy --cli-input-json '{"RoleName":"'"$(json "$p_role_name")"'","PolicyName":"self-inspection","PolicyDocument":"'"$(json "$v_3")"'"}'
prune "$r_role_name" '/Acme-Analytics/'

printf '%s: %s\n' 'RoleArn' "$r_role_arn"
printf '%s: %s\n' 'ExternalId' "$p_external_id"
if [ "$c_setup_phase_active" = true ]; then v_4='There are no setup permissions, so nothing is left to do. To end the access of Acme Analytics, delete this stack.'; else v_4='No setup permissions are granted. To end the access of Acme Analytics, delete this stack.'; fi
printf '%s: %s\n' 'NextSteps' "$v_4"
