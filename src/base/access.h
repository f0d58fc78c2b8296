// Access: what a key lets its holder do, and the one place that decides it. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pippin {

class RequestContext;

/// What a key is for. Each role may do what those before it may.
enum class KeyRole : uint8_t { kUse, kManage, kAdminister };

/// What a route does, and so the role that it asks for.
enum class Action : uint8_t {
  kLook,        // tells what is there: changes nothing, loads nothing
  kUse,         // computes, or keeps what is the caller's own
  kManage,      // loads, unloads, fetches or removes models
  kAdminister,  // tells of the server itself
};

/// Whose a thing is that a route reads or changes.
enum class Object : uint8_t {
  kServer,      // nobody's: models on offer, totals
  kPrivate,     // one key's, and nobody else's
  kSupervised,  // one key's; administrators reach it, too
};

/// What a route says of itself. The table of routes has one for each; what is in none is closest.
struct Rule {
  Action action = Action::kUse;
  Object object = Object::kPrivate;
};

enum class Verdict : uint8_t {
  kGranted,
  kForbidden,  // the role is too low
  kHidden,     // the thing is another's: it is as good as none
};

/// What a key may do. The defaults are those of a key that is made without saying so.
struct Permissions {
  KeyRole role = KeyRole::kUse;
  std::vector<std::string> models = {};  // names of models it may use; empty: all
  int priority_max = 0;                  // -1 low, 0 normal, 1 high
  /// Bytes of responses that are kept for it, and as many of batches. 0: what its share allows.
  int64_t storage_bytes = 0;
  bool operator==(const Permissions&) const = default;
};

/// Decides. `caller`: null where no keys are asked for; then everybody is an administrator.
/// `owner`: the key of the thing that is meant; nothing if that is not known yet, or there is none.
Verdict authorise(const RequestContext* caller, const Rule& rule,
                  std::optional<std::string_view> owner = std::nullopt);

/// Returns the names of roles, actions and objects: "use", "manage", "administer".
std::string_view name_of(KeyRole role);
std::string_view name_of(Action action);
std::string_view name_of(Object object);
/// Returns the role of a name; nothing if there is none.
std::optional<KeyRole> role_named(std::string_view name);

/// Returns the role that an action asks for.
KeyRole role_for(Action action);

}  // namespace pippin
