// The model pool where a loader, an engine or one who waits throws: an error of that load or call,
// and all others go on.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <new>
#include <stdexcept>

#include "service/models/model_pool_fixture.h"

namespace pippin::service {
namespace {

using testing_models::Answer;
using testing_models::FakeEngine;
using testing_models::kModel;

class ModelPoolFailureTest : public testing_models::ModelPoolFixture {
 protected:
  static void raise() { throw std::runtime_error("the disk is on fire"); }
  void expect_failed(const std::shared_ptr<Answer>& answer) {
    ASSERT_TRUE(answer->error.has_value());
    EXPECT_EQ(Code::kInvalidFile, answer->error->code);
    EXPECT_NE(std::string::npos, answer->error->message.find("the disk is on fire"));
  }
};

TEST_F(ModelPoolFailureTest, ALoadThatThrowsFails) {
  make(2 * kModel, {"a", "b"});
  loader_.during = [](const auto&) { raise(); };
  const auto one = ask("a"), two = ask("a");
  settle();
  expect_failed(one);
  expect_failed(two);
  EXPECT_EQ(ModelState::kFailed, state("a"));
  EXPECT_EQ(0u, pool_->used_bytes());
  loader_.during = [](const auto&) { throw 7; };
  const auto three = ask("b");
  settle();
  EXPECT_TRUE(three->error.has_value());
  loader_.during = nullptr;
  get("a");  // it is tried again
}

TEST_F(ModelPoolFailureTest, ASizeThatThrowsFails) {
  make(kModel, {"a"});
  loader_.on_size = raise;
  const auto answer = ask("a");
  settle();
  expect_failed(answer);
  loader_.on_size = nullptr;
  get("a");
}

TEST_F(ModelPoolFailureTest, OneWhoThrowsKeepsNobodyWaiting) {
  make(kModel, {"a"});
  ModelWaiter rude;
  rude.ready = [](const Result<ModelLease>&) { raise(); };
  rude.progress = [](double) { raise(); };
  pool_->wait("a", std::move(rude));
  const auto polite = ask("a");
  loader_.during = [this](const auto& progress) {
    clock_.advance(std::chrono::seconds(2));
    progress(1, 2);
  };
  settle();
  ASSERT_TRUE(polite->lease.has_value());
  EXPECT_EQ(std::vector<double>{0.5}, polite->progress);
}

TEST_F(ModelPoolFailureTest, AnEngineThatFailedIsLoadedAnew) {
  make(kModel, {"a"});
  auto held = get("a");
  static_cast<FakeEngine&>(*(*held->lease)->engine).failed = true;
  EXPECT_FALSE(pool_->try_lease("a").has_value()) << "it is to be loaded";
  const auto next = ask("a");
  settle();
  EXPECT_FALSE(next->done()) << "the failed one is still held";
  held.reset();
  settle();
  ASSERT_TRUE(next->lease.has_value());
  EXPECT_FALSE((*next->lease)->engine->has_failed());
  EXPECT_EQ((Names{"a", "a"}), loader_.loaded);
}

TEST_F(ModelPoolFailureTest, TheLoadersThreadLivesOn) {
  const SystemClock clock;
  ModelPool pool(kModel, loader_, nullptr, clock);
  for (const char* name : {"a", "b"}) ASSERT_TRUE(pool.add(spec(name)).ok());
  pool.open();
  pool.start();
  const auto ask_for = [&](const char* name) {
    const auto done = std::make_shared<std::promise<bool>>();
    ModelWaiter waiter;
    waiter.ready = [done](const Result<ModelLease>& lease) { done->set_value(lease.ok()); };
    pool.wait(name, std::move(waiter));
    std::future<bool> result = done->get_future();
    EXPECT_EQ(result.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    return result.get();
  };
  loader_.during = [](const auto&) { throw std::bad_alloc(); };
  EXPECT_FALSE(ask_for("a"));
  loader_.during = nullptr;
  EXPECT_TRUE(ask_for("b"));
}

}  // namespace
}  // namespace pippin::service
