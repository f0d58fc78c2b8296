// authorise: who may do what with whose things.
#include "base/access.h"

#include <gtest/gtest.h>

#include "base/request_context.h"

namespace pippin {
namespace {

class Holder final : public RequestContext {
 public:
  Holder(std::string id, KeyRole role) : id_(std::move(id)) { permissions_.role = role; }
  const std::string& key_id() const override { return id_; }
  const Permissions& permissions() const override { return permissions_; }
  Result<void> take_prompt(int64_t) override { return {}; }
  bool take_token() override { return true; }
  void leave() override {}
  Taken taken() const override { return {}; }
  std::vector<std::pair<std::string, std::string>> headers() const override { return {}; }

 private:
  const std::string id_;
  Permissions permissions_;
};

TEST(Access, ARoleMayDoWhatThoseBeforeItMay) {
  constexpr KeyRole kRoles[] = {KeyRole::kUse, KeyRole::kManage, KeyRole::kAdminister};
  constexpr Action kActions[] = {Action::kLook, Action::kUse, Action::kManage, Action::kAdminister};
  for (const KeyRole role : kRoles) {
    const Holder holder("a", role);
    for (const Action action : kActions) {
      const Verdict wanted = role >= role_for(action) ? Verdict::kGranted : Verdict::kForbidden;
      EXPECT_EQ(authorise(&holder, {action}), wanted) << name_of(role) << " " << name_of(action);
      EXPECT_EQ(authorise(nullptr, {action}), Verdict::kGranted) << "no keys: administrators";
    }
  }
}

TEST(Access, WhatIsAnothersIsHidden) {
  for (const KeyRole role : {KeyRole::kUse, KeyRole::kManage, KeyRole::kAdminister}) {
    const Holder holder("a", role);
    const auto verdict = [&](Object object, std::string_view owner) {
      return authorise(&holder, {Action::kUse, object}, owner);
    };
    EXPECT_EQ(verdict(Object::kServer, "b"), Verdict::kGranted);
    EXPECT_EQ(verdict(Object::kPrivate, "a"), Verdict::kGranted);
    EXPECT_EQ(verdict(Object::kPrivate, "b"), Verdict::kHidden) << "from administrators, too";
    EXPECT_EQ(verdict(Object::kPrivate, ""), Verdict::kHidden) << "nobody's is not one's own";
    EXPECT_EQ(verdict(Object::kSupervised, "a"), Verdict::kGranted);
    EXPECT_EQ(verdict(Object::kSupervised, "b"),
              role == KeyRole::kAdminister ? Verdict::kGranted : Verdict::kHidden);
  }
  EXPECT_EQ(authorise(nullptr, {Action::kUse, Object::kSupervised}, "b"), Verdict::kGranted);
  EXPECT_EQ(authorise(nullptr, {Action::kUse, Object::kPrivate}, "b"), Verdict::kHidden);
}

TEST(Access, RolesHaveNames) {
  for (const KeyRole role : {KeyRole::kUse, KeyRole::kManage, KeyRole::kAdminister})
    EXPECT_EQ(role_named(name_of(role)), role);
  EXPECT_EQ(role_named("root"), std::nullopt);
}

}  // namespace
}  // namespace pippin
