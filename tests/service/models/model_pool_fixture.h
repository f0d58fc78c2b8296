// ModelPoolTest: a pool over made-up models, by one thread, so that a test says what happens when.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "service/models/fake_loader.h"
#include "service/models/model_pool.h"

namespace pippin::service::testing_models {

/// What one request has got.
struct Answer {
  std::optional<ModelLease> lease;
  std::optional<Error> error;
  std::vector<double> progress;
  uint64_t ticket = 0;

  bool done() const { return lease.has_value() || error.has_value(); }
};

class ModelPoolFixture : public testing::Test {
 protected:
  void make(uint64_t budget, const std::vector<std::string>& names, ModelSource* source = nullptr) {
    pool_ = std::make_unique<ModelPool>(budget, loader_, source, clock_);
    for (const std::string& name : names) ASSERT_TRUE(pool_->add(spec(name)).ok());
    pool_->open();
  }
  static ModelSpec spec(const std::string& name, KeepAlive keep_alive = {}) {
    ModelSpec made;
    made.load.id = name;
    made.keep_alive = keep_alive;
    return made;
  }
  /// Asks for a model, as a request does.
  std::shared_ptr<Answer> ask(const std::string& name, std::optional<TimePoint> deadline = {},
                              bool may_evict = true) {
    auto answer = std::make_shared<Answer>();
    ModelWaiter waiter;
    waiter.ready = [answer](Result<ModelLease> lease) {
      EXPECT_FALSE(answer->done()) << "a second answer";
      if (lease.ok()) {
        answer->lease.emplace(std::move(*lease));
      } else {
        answer->error = lease.error();
      }
    };
    waiter.progress = [weak = std::weak_ptr(answer)](double part) {
      if (const auto alive = weak.lock()) alive->progress.push_back(part);
    };
    waiter.deadline = deadline;
    waiter.may_evict = may_evict;
    answer->ticket = pool_->wait(name, std::move(waiter));
    return answer;
  }
  /// Does what there is to do.
  void settle() {
    for (int i = 0; i < 10000; ++i) {
      if (pool_->work() != TimePoint()) return;
    }
    FAIL() << "there is always more to do";
  }
  std::shared_ptr<Answer> get(const std::string& name) {
    std::shared_ptr<Answer> answer = ask(name);
    settle();
    EXPECT_TRUE(answer->lease.has_value()) << name;
    return answer;
  }
  ModelState state(const std::string& name) { return pool_->look(name)->state; }
  std::vector<std::string> loaded() {
    std::vector<std::string> names;
    for (const ModelLease& lease : pool_->lease_all()) names.push_back(lease->id);
    return names;
  }

  using Names = std::vector<std::string>;
  FakeLoader loader_;
  ManualClock clock_;
  std::unique_ptr<ModelPool> pool_;
};

}  // namespace pippin::service::testing_models
