// What all kernels by cooperative matrices need: the extensions, and a barrier of a subgroup, as where
// an element lies in a matrix only a load or a store by shared memory tells.
#ifndef HN_COOP_GLSL
#define HN_COOP_GLSL

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

void wait_for_subgroup()
{
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
}

#endif
