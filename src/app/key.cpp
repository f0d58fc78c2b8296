#include "app/key.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <string_view>

#include "app/chat.h"
#include "app/commands.h"
#include "base/environment.h"
#include "base/unix_time.h"
#include "service/json.h"

namespace pippin::app {
namespace {

using service::Key;
using service::KeyLimits;

std::string date_of(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time_t{unix_s}));
}

std::string or_dash(int64_t limit) { return limit == 0 ? "-" : std::to_string(limit); }

// From -1 on.
constexpr std::array<std::string_view, 3> kPriorities = {"low", "normal", "high"};

/// Requires: the settings were checked.
Permissions permissions_of(const Settings& settings) {
  Permissions permissions;
  permissions.role = role_named(settings.key_role).value_or(KeyRole::kUse);
  permissions.models = settings.key_models;
  const auto priority = std::ranges::find(kPriorities, settings.key_priority_max);
  permissions.priority_max = static_cast<int>(priority - kPriorities.begin()) - 1;
  permissions.storage_bytes = static_cast<int64_t>(settings.key_storage_bytes);
  return permissions;
}

void write_key(service::JsonWriter& json, const Key& key) {
  json.field("id", key.id).field("name", key.name).field("created", key.created_unix_s);
  json.key("revoked");
  if (key.revoked_unix_s == 0) {
    json.null();
  } else {
    json.integer(key.revoked_unix_s);
  }
  json.field("requests_per_minute", key.limits.requests_per_minute);
  json.field("tokens_per_minute", key.limits.tokens_per_minute);
  json.field("tokens_per_day", key.limits.tokens_per_day);
  json.field("concurrent", key.limits.concurrent).field("tokens_today", key.tokens_today);
  json.field("role", name_of(key.permissions.role));
  json.field("priority_max", kPriorities[static_cast<size_t>(key.permissions.priority_max + 1)]);
  json.field("storage_bytes", key.permissions.storage_bytes);
  json.key("models").begin_array();
  for (const std::string& model : key.permissions.models) json.string(model);
  json.end_array();
}

Result<int> create(service::KeyStore& store, const Settings& settings, const std::string& name) {
  const KeyLimits limits{settings.key_requests_per_minute, settings.key_tokens_per_minute,
                         settings.key_tokens_per_day, settings.key_concurrent};
  ASSIGN_OR_RETURN(const service::NewKey made,
                   store.create(name, limits, unix_now_s(), permissions_of(settings)));
  if (settings.key_json) {
    std::string text;
    service::JsonWriter json(text);
    json.begin_object();
    write_key(json, made.key);
    json.field("key", made.secret).end_object();
    fmt::print("{}\n", text);
    return kExitOk;
  }
  fmt::print("{}\n", made.secret);
  fmt::print(stderr,
             "This is the key {} ({}). It is shown only once; the server keeps a hash of it.\n",
             made.key.name, made.key.id);
  return kExitOk;
}

Result<int> list(service::KeyStore& store, const Settings& settings) {
  ASSIGN_OR_RETURN(const std::vector<Key> keys, store.list(unix_now_s()));
  if (settings.key_json) {
    std::string text;
    service::JsonWriter json(text);
    json.begin_array();
    for (const Key& key : keys) {
      json.begin_object();
      write_key(json, key);
      json.end_object();
    }
    json.end_array();
    fmt::print("{}\n", text);
    return kExitOk;
  }
  constexpr const char* kRow =
      "{:<12}  {:<20}  {:<10}  {:<10}  {:<10}  {:>8}  {:>10}  {:>10}  {:>10}  {:>10}\n";
  fmt::print(kRow, "id", "name", "role", "created", "revoked", "requests", "tokens/min",
             "tokens/day", "concurrent", "today");
  for (const Key& key : keys) {
    fmt::print(kRow, key.id, key.name, name_of(key.permissions.role), date_of(key.created_unix_s),
               key.revoked_unix_s == 0 ? "-" : date_of(key.revoked_unix_s),
               or_dash(key.limits.requests_per_minute), or_dash(key.limits.tokens_per_minute),
               or_dash(key.limits.tokens_per_day), or_dash(key.limits.concurrent),
               key.tokens_today);
  }
  return kExitOk;
}

}  // namespace

std::optional<std::string> keys_path(const Settings& settings, const Environment& environment) {
  if (settings.keys_path == "off") return std::nullopt;
  if (!settings.keys_path.empty()) return settings.keys_path;
  return history_file(environment).replace_filename("keys.db").string();
}

Result<std::unique_ptr<service::Authenticator>> make_authenticator(const Settings& settings,
                                                                   const Environment& environment) {
  const std::optional<std::string> path = keys_path(settings, environment);
  if (!path) return std::unique_ptr<service::Authenticator>();
  auto authenticator = std::make_unique<service::Authenticator>(*path, unix_now_s);
  if (const Result<bool> readable = authenticator->asks_for_keys(); !readable.ok()) {
    return fail(readable.error().code,
                fmt::format("{} exists, but cannot be read: {}", *path, readable.error().message),
                "--keys");
  }
  return authenticator;
}

Result<int> key(const Settings& settings, const std::string& action,
                const std::optional<std::string>& which) {
  const std::optional<std::string> path = keys_path(settings, environment_variable);
  if (!path) return fail(Code::kInvalidArgument, "--keys: expected a file, came off", "--keys");
  service::KeyStore store(*path);
  if (action == "list" && !which) return list(store, settings);
  if (action == "create" && which) return create(store, settings, *which);
  if (action == "revoke" && which) {
    ASSIGN_OR_RETURN(const Key revoked, store.revoke(*which, unix_now_s()));
    fmt::print(stderr, "The key {} ({}) is revoked.\n", revoked.name, revoked.id);
    return kExitOk;
  }
  return fail(Code::kInvalidArgument,
              "expected key create NAME, key list, or key revoke ID; see pippin key --help",
              "--keys");
}

}  // namespace pippin::app
