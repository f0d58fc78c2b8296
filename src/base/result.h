// Result<T>: a value or an Error, for every failure that a request, a file or the world can cause.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/error.h"

namespace pippin {

/// Holds a T or an Error. Requires: ok() before value(), !ok() before error().
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit on purpose
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CHECK(ok(), "value() of an error");
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CHECK(ok(), "value() of an error");
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    CHECK(ok(), "value() of an error");
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    CHECK(!ok(), "error() of a value");
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    CHECK(error_.has_value(), "error() of a value");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

/// Makes an Error in one line: `return fail(Code::kNotFound, "[store] no such file: " + path,
/// path);`
inline Error fail(Code code, std::string message, std::string param = {}) {
  return Error{code, std::move(message), std::move(param)};
}

}  // namespace pippin

// Returns the error of an expression of type Result from the function around it.
#define RETURN_IF_ERROR(expr)                                         \
  do {                                                                \
    if (auto status_ = (expr); !status_.ok()) return status_.error(); \
  } while (false)

#define PIPPIN_CONCAT_INNER(a, b) a##b
#define PIPPIN_CONCAT(a, b) PIPPIN_CONCAT_INNER(a, b)
// ASSIGN_OR_RETURN(auto x, f()): x = the value, or returns the error.
#define ASSIGN_OR_RETURN(declaration, expr) \
  PIPPIN_ASSIGN_OR_RETURN(PIPPIN_CONCAT(result_, __LINE__), declaration, expr)
#define PIPPIN_ASSIGN_OR_RETURN(tmp, declaration, expr) \
  auto tmp = (expr);                                    \
  if (!tmp.ok()) return tmp.error();                    \
  declaration = std::move(tmp).value()
