#include "base/access.h"

#include "base/request_context.h"

namespace pippin {

KeyRole role_for(Action action) {
  switch (action) {
    case Action::kLook:
    case Action::kUse:
      return KeyRole::kUse;
    case Action::kManage:
      return KeyRole::kManage;
    case Action::kAdminister:
      return KeyRole::kAdminister;
  }
  return KeyRole::kAdminister;
}

Verdict authorise(const RequestContext* caller, const Rule& rule,
                  std::optional<std::string_view> owner) {
  const KeyRole role = caller == nullptr ? KeyRole::kAdminister : caller->permissions().role;
  if (role < role_for(rule.action)) return Verdict::kForbidden;
  if (!owner || rule.object == Object::kServer) return Verdict::kGranted;
  const std::string_view own = caller == nullptr ? std::string_view() : caller->key_id();
  if (*owner == own) return Verdict::kGranted;
  const bool supervises = rule.object == Object::kSupervised && role == KeyRole::kAdminister;
  return supervises ? Verdict::kGranted : Verdict::kHidden;
}

std::string_view name_of(KeyRole role) {
  switch (role) {
    case KeyRole::kUse:
      return "use";
    case KeyRole::kManage:
      return "manage";
    case KeyRole::kAdminister:
      return "administer";
  }
  return "";
}

std::string_view name_of(Action action) {
  return action == Action::kLook ? "look" : name_of(role_for(action));
}

std::string_view name_of(Object object) {
  switch (object) {
    case Object::kServer:
      return "server";
    case Object::kPrivate:
      return "private";
    case Object::kSupervised:
      return "supervised";
  }
  return "";
}

std::optional<KeyRole> role_named(std::string_view name) {
  for (const KeyRole role : {KeyRole::kUse, KeyRole::kManage, KeyRole::kAdminister}) {
    if (name_of(role) == name) return role;
  }
  return std::nullopt;
}

}  // namespace pippin
