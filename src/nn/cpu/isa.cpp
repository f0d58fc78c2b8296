// Which paths this machine can run, and which one to take.
#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/check.h"
#include "nn/cpu/kernels.h"
#include "nn/cpu/linear.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace pippin::nn::cpu {
namespace {

struct Path {
  Isa isa;
  const char* name;
  const Kernels* (*kernels)();
};

// Best first.
constexpr std::array<Path, 7> kPaths{{
    {Isa::kAvx512Zen, "avx512zen", kernels_avx512zen},
    {Isa::kAvx512Vnni, "avx512vnni", kernels_avx512vnni},
    {Isa::kAvx512, "avx512", kernels_avx512},
    {Isa::kAvx2Vnni, "avx2vnni", kernels_avx2vnni},
    {Isa::kAvx2, "avx2", kernels_avx2},
    {Isa::kNeonDot, "neon", kernels_neon},
    {Isa::kPortable, "portable", kernels_portable},
}};

#if defined(__x86_64__)
// AVX-VNNI is bit 4 of EAX of CPUID leaf 7, subleaf 1; not every compiler's name table has it.
bool cpuid_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4)) != 0;
}
#endif

bool machine_has(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return true;
#if defined(__x86_64__)
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case Isa::kAvx512:
      return machine_has(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case Isa::kAvx2Vnni:
      return machine_has(Isa::kAvx2) && cpuid_avx_vnni();
    case Isa::kAvx512Vnni:
      return machine_has(Isa::kAvx512) && __builtin_cpu_supports("avx512vnni");
    case Isa::kAvx512Zen:
      return machine_has(Isa::kAvx512Vnni) && __builtin_cpu_is("amd");
#elif defined(__aarch64__) && defined(__APPLE__)
    case Isa::kNeonDot:
      return true;  // every Apple CPU that runs macOS
#elif defined(__aarch64__) && defined(__linux__)
    case Isa::kNeonDot:
      return (getauxval(AT_HWCAP) & (1UL << 20)) != 0;  // HWCAP_ASIMDDP
#endif
    default:
      return false;
  }
}

const Path& path_of(Isa isa) {
  for (const Path& path : kPaths) {
    if (path.isa == isa) return path;
  }
  return kPaths.back();
}

}  // namespace

bool isa_available(Isa isa) { return machine_has(isa) && path_of(isa).kernels() != nullptr; }

const char* isa_name(Isa isa) { return path_of(isa).name; }

Result<Isa> select_isa() {
  const char* forced = std::getenv("PIPPIN_CPU_ISA");
  for (const Path& path : kPaths) {
    if (forced != nullptr && *forced != '\0' && std::string_view(path.name) != forced) continue;
    if (isa_available(path.isa)) return path.isa;
    if (forced != nullptr && *forced != '\0') {
      return fail(Code::kUnsupported,
                  "[cpu] PIPPIN_CPU_ISA=" + std::string(forced) + ": this machine cannot run it",
                  "PIPPIN_CPU_ISA");
    }
  }
  return fail(Code::kUnsupported,
              "[cpu] PIPPIN_CPU_ISA: expected portable, avx2, avx2vnni, avx512, avx512vnni, "
              "avx512zen or neon, got " +
                  std::string(forced),
              "PIPPIN_CPU_ISA");
}

const Kernels& kernels(Isa isa) {
  CHECK(isa_available(isa), "a path that this machine cannot run");
  return *path_of(isa).kernels();
}

const Kernels& default_kernels() {
  static const Kernels& chosen = [&]() -> const Kernels& {
    const Result<Isa> isa = select_isa();
    return kernels(isa ? *isa : Isa::kPortable);
  }();
  return chosen;
}

}  // namespace pippin::nn::cpu
