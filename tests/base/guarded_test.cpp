#include "base/guarded.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

namespace pippin {
namespace {

TEST(Guarded, WhatIsThrownIsAnErrorOfTheJob) {
  EXPECT_TRUE(guarded("[job]", [] {}).ok());
  const Result<void> thrown = guarded("[job]", [] { throw std::runtime_error("no such thing"); });
  ASSERT_FALSE(thrown.ok());
  EXPECT_EQ(thrown.error().code, Code::kInternal);
  EXPECT_EQ(thrown.error().message, "[job] a job failed: no such thing");
  EXPECT_FALSE(guarded("[job]", [] { throw std::bad_alloc(); }).ok());
  EXPECT_FALSE(guarded("[job]", [] { throw 7; }).ok());
}

}  // namespace
}  // namespace pippin
