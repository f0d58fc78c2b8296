// Pulls where something throws, or no thread is to be had: an answer with an error, and a free
// place.
#include "api/ollama/pull_jobs.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "api/routes/harness.h"
#include "base/no_more_threads.h"

namespace pippin::api::ollama {
namespace {

using testing::FakeExchange;

class FakeModelStore final : public ModelStore {
 public:
  std::function<void()> on_pull = [] {};
  Result<void> remove(std::string_view) override { return {}; }
  Result<void> pull(std::string_view, const std::function<bool(const Progress&)>&) override {
    on_pull();
    return {};
  }
};

/// An exchange whose answers cannot be sent.
class BrokenExchange final : public Exchange {
 public:
  const Request& request() const override { return request_; }
  void respond(Response) override { throw std::runtime_error("no memory for an answer"); }
  void start_stream(Response) override { throw std::runtime_error("no memory for a stream"); }
  bool write(std::string_view) override { return true; }
  size_t queued_bytes() const override { return 0; }
  void finish() override {}
  void on_disconnect(std::function<void()>) override {}
  void on_drained(std::function<void()>) override {}

 private:
  Request request_;
};

class PullJobsTest : public ::testing::Test {
 protected:
  Response pull(
      bool stream, std::function<void()> pulled = [] {}) {
    const auto exchange = std::make_shared<FakeExchange>(Request());
    jobs_.start(model_store_, "a", stream, exchange, std::move(pulled));
    EXPECT_TRUE(exchange->wait());
    return exchange->sent();
  }
  /// Pulls, as soon as there is a place.
  Response pull_soon() {
    for (int i = 0; i < 1000; ++i) {
      Response response = pull(false);
      if (response.status != 503) return response;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return {503};
  }

  FakeModelStore model_store_;
  PullJobs jobs_;
};

TEST_F(PullJobsTest, WhatThrowsIsTheAnswersError) {
  model_store_.on_pull = [] { throw std::runtime_error("the disk is on fire"); };
  const Response response = pull(false);
  EXPECT_EQ(response.status, 500);
  EXPECT_NE(pull(true).body.find("\"error\":"), std::string::npos);
  model_store_.on_pull = [] {};
  EXPECT_EQ(pull(false, [] { throw 7; }).status, 500);
  EXPECT_EQ(pull(false).status, 200);
}

TEST_F(PullJobsTest, AnAnswerThatThrowsGivesItsPlaceBack) {
  const auto broken = std::make_shared<BrokenExchange>();
  for (int i = 0; i < 20; ++i) {
    try {
      jobs_.start(model_store_, "a", i % 2 == 0, broken, [] {});
    } catch (const std::runtime_error&) {  // it could not even be refused
    }
  }
  EXPECT_EQ(pull_soon().status, 200);
}

TEST_F(PullJobsTest, WithoutAThreadItIsRefusedAndItsPlaceIsFree) {
  if (!pippin::testing::NoMoreThreads::possible()) GTEST_SKIP() << "not to be had on this system";
  {
    const pippin::testing::NoMoreThreads none;
    for (int i = 0; i < 20; ++i) EXPECT_EQ(pull(true).status, 503);
  }
  EXPECT_EQ(pull(false).status, 200);
}

}  // namespace
}  // namespace pippin::api::ollama
