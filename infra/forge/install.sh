#!/usr/bin/env bash
# Registers a Forge app of your own for a bundle (once), renders its manifest, builds its page, deploys it, and installs it on
# a Jira site. Run it again when a step failed: what was done is not done twice.
#
# The app's id is the one thing that must not be lost: with another id, every site has to install again. It is kept in a
# file of its own, is never overwritten, and a stack has it as a parameter too.
set -euo pipefail

usage() {
  cat <<'END'
usage: infra/forge/install.sh --site SITE (--stack NAME | --data-dir DIR) [OPTIONS]

  --site SITE           the Jira site, such as acme.atlassian.net
  --stack NAME          the bundle: a CloudFormation stack, through your own AWS credentials
  --data-dir DIR        the bundle: a local one that is served, by its data directory
  --update              deploy again after a change of addresses or a new release, and never register an app
  --update-stack        set the app's id as the stack's ForgeAppId, if it is not set (needs the AWS CLI)
  --connect-key KEY     replace the Connect app with this key, and keep what it sent
  --app-file FILE       where the app's id is kept (docs/CONNECTIONS.md has the default)
  --developer-space ID  where to register the app; asked for if there is a terminal
  --dry-run             print what would be done, and change nothing; needs neither npm nor Forge's CLI

Needs node (22 or 24), npm, Forge's CLI (npm install -g @forge/cli, 12.15.0 or newer) and gitlab-jira. Sign in with
`forge login`, or set FORGE_EMAIL and FORGE_API_TOKEN. GITLAB_JIRA names another program than the one on PATH.
END
}

readonly APP_PATTERN='^ari:cloud:ecosystem::app/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
# The id in a manifest until its app is registered.
readonly NO_APP=ari:cloud:ecosystem::app/00000000-0000-0000-0000-000000000000
readonly ENVIRONMENT=production
# The first that takes an API token whose only scopes are Forge's.
readonly OLDEST_CLI=12.15.0
# What `forge install list` calls an installation of the newest version.
readonly NEWEST=Up-to-date

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${FORGE_WORK_DIR:-$here/../../target/forge}
# What Forge gets, and beside it, so that Forge looks at none of it, what makes the page.
made=$work/app
build=$work/build
gitlab_jira=${GITLAB_JIRA:-gitlab-jira}

site="" stack="" data_dir="" connect_key="" app_file="" space="" answer=""
update=false update_stack=false dry_run=false

fail() {
  printf 'install.sh: %s\n' "$1" >&2
  exit 1
}

note() {
  printf '== %s\n' "$1"
}

# Runs the command in its arguments, or only prints it.
run() {
  if $dry_run; then
    printf 'would run:'
    printf ' %q' "$@"
    printf '\n'
  else
    "$@"
  fi
}

parse() {
  local option
  while (($# > 0)); do
    option=$1
    case $option in
      --update) update=true ;;
      --update-stack) update_stack=true ;;
      --dry-run) dry_run=true ;;
      -h | --help)
        usage
        exit 0
        ;;
      --site | --stack | --data-dir | --connect-key | --app-file | --developer-space)
        [[ -n ${2:-} ]] || fail "$option needs a value; see --help"
        case $option in
          --site) site=${2#https://} site=${site%/} ;;
          --stack) stack=$2 ;;
          --data-dir) data_dir=$2 ;;
          --connect-key) connect_key=$2 ;;
          --app-file) app_file=$2 ;;
          --developer-space) space=$2 ;;
        esac
        shift
        ;;
      *) fail "there is no option $option; see --help" ;;
    esac
    shift
  done
  [[ -n $site ]] || fail "which Jira site? Say --site acme.atlassian.net"
  [[ $site =~ ^[a-z0-9-]+(\.[a-z0-9-]+)+$ ]] || fail "$site is not the host of a site, such as acme.atlassian.net"
  [[ -n $stack || -n $data_dir ]] || fail "which bundle? Say --stack NAME or --data-dir DIR"
  [[ -z $stack || -z $data_dir ]] || fail "--stack and --data-dir are two bundles: say one of them"
}

check_tools() {
  local said
  command -v node >/dev/null || fail "there is no node: install Node.js 24 (https://nodejs.org)"
  check_node "$(node --version)"
  command -v "$gitlab_jira" >/dev/null || fail "there is no $gitlab_jira: run cargo install --locked --path cli"
  if $dry_run; then return; fi
  command -v npm >/dev/null || fail "there is no npm, which comes with Node.js: it builds the app's page"
  command -v forge >/dev/null || fail "there is no forge: run npm install -g @forge/cli"
  check_cli
  answer_usage_question
  said=$(forge whoami 2>&1) ||
    fail "forge is not signed in: run forge login, or set FORGE_EMAIL and FORGE_API_TOKEN (a token with scopes for the app Forge, of id.atlassian.com). It says:
$said"
}

# The releases that Forge's CLI supports, without the two that its package excludes: they cut answers off.
check_node() {
  case $1 in
    v22.23.1 | v24.17.0) fail "Node.js $1 has a fault that breaks Forge's CLI: install another release of Node.js 22 or 24" ;;
    v22.* | v24.*) ;;
    *) fail "Forge's CLI supports Node.js 22 and 24, and this is $1: install 24 (https://nodejs.org)" ;;
  esac
}

check_cli() {
  local version
  # Warnings may stand before it.
  version=$(forge --version 2>/dev/null | grep -oE '^[0-9]+\.[0-9]+\.[0-9]+' | tail -n 1) || version=unknown
  [[ $(printf '%s\n' "$OLDEST_CLI" "$version" | sort -V | head -n 1) == "$OLDEST_CLI" && $version != unknown ]] ||
    fail "Forge's CLI must be $OLDEST_CLI or newer, and this is $version: run npm install -g @forge/cli@latest"
}

# In the list that Forge's CLI printed as JSON in $1, where warnings may stand before it: the field $2 of the first entry
# whose fields are as the names and values that follow; empty if there is none.
entry() {
  node -e 'const [said, field, ...wanted] = process.argv.slice(1);
    const list = JSON.parse(said.slice(said.search(/^\[/m)));
    const found = list.find((one) => wanted.every((name, at) => at % 2 || one[name] === wanted[at + 1]));
    process.stdout.write(String(found?.[field] ?? ""));' "$@"
}

# Before its first command the CLI asks whether it may collect usage data, and fails where it can't ask.
answer_usage_question() {
  local settings
  settings=$(forge settings list --json) || fail "forge settings list failed; it says why above"
  if [[ -n $(entry "$settings" value setting usage-analytics) ]]; then return; fi
  [[ -n ${FORGE_EMAIL:-} && -n ${FORGE_API_TOKEN:-} ]] ||
    fail "forge was never used here: run forge login, or set FORGE_EMAIL and FORGE_API_TOKEN"
  note "telling forge to collect no usage data (forge settings set usage-analytics true changes that)"
  forge settings set usage-analytics false >/dev/null || fail "forge settings set failed; it says why above"
}

# Asks the bundle for the manifest of the app $1, and what else it says, as JSON.
ask_bundle() {
  local arguments=(forge manifest --json --app-id "$1")
  if [[ -n $stack ]]; then arguments+=(--stack "$stack"); else arguments+=(--data-dir "$data_dir"); fi
  if [[ -n $connect_key ]]; then arguments+=(--connect-key "$connect_key"); fi
  answer=$("$gitlab_jira" "${arguments[@]}") || fail "the bundle could not be asked; gitlab-jira says why"
}

# A field of the bundle's answer; empty if it has none.
field() {
  node -e 'process.stdout.write(JSON.parse(process.argv[1])[process.argv[2]] ?? "")' "$answer" "$1"
}

default_app_file() {
  if [[ -n $data_dir ]]; then
    printf '%s/forge-app-id' "$data_dir"
  else
    printf '%s/gitlab-for-jira/forge-app-id.%s' "${XDG_CONFIG_HOME:-$HOME/.config}" "$(field bundle)"
  fi
}

# Writes the id $1 where none is yet, and reads it again to be sure.
keep() {
  if $dry_run; then
    echo "would keep $1 in $app_file"
    return
  fi
  (umask 077 && set -o noclobber && printf '%s\n' "$1" >"$app_file") ||
    fail "$app_file can't be written. The app is $1: write this id down, and run again with it in that file"
  [[ $(<"$app_file") == "$1" ]] || fail "$app_file does not hold what was written. The app is $1: write this id down"
}

# Sets `app` to the id of the bundle's app: the one that is kept, the one that the bundle knows, or a new one.
find_app() {
  local told kept=""
  told=$(field bundle_app_id)
  if [[ -e $app_file ]]; then
    kept=$(<"$app_file")
    [[ $kept =~ $APP_PATTERN ]] || fail "$app_file holds no app id: correct it, or move it away if the app was never installed"
  fi
  if [[ -n $kept && -n $told && $kept != "$told" ]]; then
    fail "the bundle accepts calls of $told, but $app_file holds $kept: with another app every site has to install again. Find out which is right, then correct the file or ForgeAppId (FORGE_APP_ID)"
  fi
  app=${kept:-$told}
  if [[ -z $app ]]; then
    $update && fail "there is no app to update: run without --update first, or put the app's id into $app_file"
    register
  elif [[ -z $kept ]]; then
    prepare_app_file
    keep "$app"
  fi
  note "the app is $app"
}

# Before anything is made that would have to be remembered.
prepare_app_file() {
  local directory
  directory=$(dirname "$app_file")
  $dry_run && return
  mkdir -p "$directory" && [[ -w $directory ]] || fail "$directory can't be written to, and the app's id belongs there: say --app-file FILE"
}

register() {
  local arguments=(register "GitLab for Jira")
  prepare_app_file
  if [[ -n $space ]]; then arguments+=(--developer-space-id "$space"); fi
  if [[ ! -t 0 ]]; then arguments+=(--accept-terms); fi
  note "registering the app: this is done once"
  if $dry_run; then
    run forge "${arguments[@]}"
    app=$NO_APP
    keep "the new app's id"
    return
  fi
  mkdir -p "$made"
  field manifest >"$made/manifest.yml"
  (cd "$made" && forge "${arguments[@]}") || fail "forge could not register the app; it says why above"
  app=$(grep -oE 'ari:cloud:ecosystem::app/[0-9a-f-]{36}' "$made/manifest.yml" | head -n 1) || app=""
  [[ $app =~ $APP_PATTERN && $app != "$NO_APP" ]] ||
    fail "forge left no app id in $made/manifest.yml: look for the app in https://developer.atlassian.com/console/myapps and put its id into $app_file"
  keep "$app"
  note "its id is kept in $app_file: keep a copy elsewhere"
}

# Makes sure that the bundle accepts the app's calls, before there are any.
tell_bundle() {
  if [[ $(field bundle_app_id) == "$app" ]]; then
    return
  fi
  if [[ -n $data_dir ]]; then
    $dry_run && echo "would stop here until gitlab-jira serve runs with FORGE_APP_ID=$app" && return
    fail "the bundle does not know the app yet: start gitlab-jira serve with FORGE_APP_ID=$app in its environment, then run this again"
  fi
  if ! $update_stack; then
    $dry_run && echo "would stop here until the stack has ForgeAppId=$app (--update-stack sets it)" && return
    fail "the stack does not know the app yet. Run this again with --update-stack, or deploy with it and then run this again:
  sam build && sam deploy --stack-name $stack --parameter-overrides ForgeAppId=$app"
  fi
  note "setting ForgeAppId of the stack $stack"
  update_parameter
}

# Changes ForgeAppId and nothing else: the template and all other parameters stay as they are deployed.
update_parameter() {
  local names name parameters=()
  command -v aws >/dev/null || fail "--update-stack needs the AWS CLI (https://aws.amazon.com/cli/). Without it: sam build && sam deploy --stack-name $stack --parameter-overrides ForgeAppId=$app"
  names=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].Parameters[].ParameterKey' --output text) ||
    fail "the stack $stack can't be read; aws says why above"
  for name in $names; do
    if [[ $name == ForgeAppId ]]; then
      parameters+=("ParameterKey=ForgeAppId,ParameterValue=$app")
    else
      parameters+=("ParameterKey=$name,UsePreviousValue=true")
    fi
  done
  run aws cloudformation update-stack --stack-name "$stack" --use-previous-template \
    --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameters "${parameters[@]}" >&2 ||
    fail "the stack $stack can't be updated; aws says why above"
  run aws cloudformation wait stack-update-complete --stack-name "$stack" ||
    fail "the update of the stack $stack did not succeed: see its events, then run this again"
}

# The app as Forge deploys it: manifest.yml, package.json and the folder with the page.
build() {
  note "building the app in $made"
  ask_bundle "$app"
  if $dry_run; then
    echo "would write manifest.yml and build the page"
    return
  fi
  rm -rf "$made/page" "$build"
  mkdir -p "$made" "$build"
  cp "$here/page/"* "$build"
  cp -R "$here/../../page" "$build/page"
  npm ci --prefix "$build" --ignore-scripts --no-audit --no-fund --loglevel=error ||
    fail "npm could not fetch what builds the page; it says why above"
  npm run --prefix "$build" --silent build -- --log-level=warning "--define:PAGE_PATH=\"$(field page_path)\"" ||
    fail "the page could not be built"
  mv "$build/dist" "$made/page"
  field manifest >"$made/manifest.yml"
  printf '{"name": "gitlab-for-jira-forge", "private": true}\n' >"$made/package.json"
}

forge_here() {
  if $dry_run; then
    run forge "$@"
  else
    (cd "$made" && forge "$@") || fail "forge $1 failed; it says why above. Run this again when that is fixed"
  fi
}

# What Forge says of the app on the site: $NEWEST, what is wrong with its version, or nothing where it is not installed.
installed() {
  local listed
  listed=$(cd "$made" && forge install list --json) || return
  entry "$listed" status site "$site" product Jira environment "$ENVIRONMENT"
}

deploy() {
  local deploy=(deploy --environment "$ENVIRONMENT")
  if [[ ! -t 0 ]]; then deploy+=(--non-interactive); fi
  note "checking the app"
  if [[ -n $connect_key ]]; then note "Forge warns that connect.remote is not defined: this app has no Connect modules that it would be for"; fi
  forge_here lint
  note "deploying the app"
  forge_here "${deploy[@]}"
}

# Installs the app, or upgrades it where it is installed. Forge's CLI also ends well when it did neither: because nothing is
# deployed, or somebody did not approve the scopes.
install() {
  local install=(install --site "$site" --product jira --environment "$ENVIRONMENT") status
  if [[ ! -t 0 ]]; then
    # There is no terminal to ask at; the scopes are those of infra/forge/manifest.yml.
    install+=(--confirm-scopes --non-interactive)
  fi
  if $dry_run; then
    run forge "${install[@]}"
    echo "(with --upgrade where it is installed and not the newest version)"
    return
  fi
  status=$(installed) || fail "forge install list failed; it says why above"
  case $status in
    "$NEWEST") note "the app is installed on $site" ;;
    "") note "installing the app on $site" && forge_here "${install[@]}" ;;
    *) note "upgrading the app on $site" && forge_here "${install[@]}" --upgrade ;;
  esac
  status=$(installed) || fail "forge install list failed; it says why above"
  case $status in
    "$NEWEST") ;;
    "") fail "the app is not installed on $site, though forge did not fail: it says above what is missing. Run this again, and approve the scopes" ;;
    *) fail "$site keeps an old version of the app ($status): run this again and approve the new scopes, or let an administrator of the site approve them under Manage apps" ;;
  esac
}

main() {
  parse "$@"
  check_tools
  ask_bundle "$NO_APP"
  app_file=${app_file:-$(default_app_file)}
  find_app
  tell_bundle
  build
  deploy
  install
  if ! $dry_run; then
    note "done. Link a group in Jira: Settings, Apps, GitLab"
    note "Jira shows that page to other administrators once the app is set to Sharing: https://developer.atlassian.com/console/myapps/${app##*/}/manage/distribution"
  fi
}

main "$@"
