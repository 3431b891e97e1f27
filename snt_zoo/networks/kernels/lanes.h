// What the kernels have in common: vectors of neighbouring channels, memory of a thread, sums over threads.
//
// Images are NHWC (channels_last): a pixel's channels are neighbours in memory. All of it lies in an
// unnamed namespace, so each source file has its own.

#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr bool kManyRegisters = true;  // 32 vectors
#else
constexpr bool kManyRegisters = false;  // 16
#endif

// A vector of neighbouring channels, and how many there are in it.
template <class Value, int Bytes>
struct Simd {
  using T = Value;
  static constexpr int64_t width = Bytes / sizeof(T);
  typedef T Vector __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias));
  static Vector load(const T* p) { return *reinterpret_cast<const Vector*>(p); }
  static void store(T* p, Vector v) { *reinterpret_cast<Vector*>(p) = v; }
  static void add_to(double* sums, Vector v) {
    for (int64_t i = 0; i < width; ++i) sums[i] += static_cast<double>(v[i]);
  }
};

// One channel, for those that fill no vector.
template <class Value>
struct Scalar {
  using T = Value;
  static constexpr int64_t width = 1;
  using Vector = T;
  static T load(const T* p) { return *p; }
  static void store(T* p, T v) { *p = v; }
  static void add_to(double* sums, T v) { *sums += static_cast<double>(v); }
};

// `f(lanes, first channel)` for all of `c` channels: whole vectors, then one by one.
template <class S, class F>
inline void over_channels(int64_t c, F f) {
  int64_t k = 0;
  for (; k + S::width <= c; k += S::width) f(S{}, k);
  for (; k < c; ++k) f(Scalar<typename S::T>{}, k);
}

int threads_for(int64_t tasks) {
#ifdef _OPENMP
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(tasks, omp_get_max_threads())));
#else
  return 1;
#endif
}

int this_thread() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Memory of a thread that grows and stays, so that a call touches no fresh page.
template <class T>
class Scratch {
 public:
  // For `pieces` calls of `take` with `values` values together.
  Scratch(int64_t values, int64_t pieces) {
    const size_t wanted = static_cast<size_t>(values) * sizeof(T) + 64 * (pieces + 1);
    if (pool().size < wanted) {
      pool().memory.reset(new char[wanted]);
      pool().size = wanted;
    }
    next_ = pool().memory.get();
  }
  // The next `values` values, aligned to a cache line.
  T* take(int64_t values) {
    const auto address = (reinterpret_cast<uintptr_t>(next_) + 63) & ~static_cast<uintptr_t>(63);
    T* out = reinterpret_cast<T*>(address);
    next_ = reinterpret_cast<char*>(out + values);
    return out;
  }
  T* take_zeros(int64_t values) {
    T* out = take(values);
    std::memset(out, 0, sizeof(T) * values);
    return out;
  }

 private:
  struct Pool {
    std::unique_ptr<char[]> memory;
    size_t size = 0;
  };
  static Pool& pool() {
    static thread_local Pool pool;
    return pool;
  }
  char* next_;
};

// Per-thread rows of doubles, added up in thread order: the same result for the same number of threads.
class Totals {
 public:
  Totals(int threads, int64_t values)
      : values_(values), threads_(threads), memory_(new double[threads * values]()) {}
  double* of(int thread) { return memory_.get() + thread * values_; }
  double at(int64_t i) const {
    double sum = 0;
    for (int t = 0; t < threads_; ++t) sum += memory_[t * values_ + i];
    return sum;
  }
  void write(int64_t first, int64_t count, double* out) const {
    for (int64_t i = 0; i < count; ++i) out[i] = at(first + i);
  }

 private:
  int64_t values_;
  int threads_;
  std::unique_ptr<double[]> memory_;
};

// `f(lanes)` with vectors that suit a number of channels: half of the widest where all channels fit in it.
template <class T, class F>
void with_lanes(int64_t channels, F f) {
  if constexpr (kVectorBytes > 16) {
    if (channels * static_cast<int64_t>(sizeof(T)) <= kVectorBytes / 2) return f(Simd<T, kVectorBytes / 2>{});
  }
  f(Simd<T, kVectorBytes>{});
}

}  // namespace
