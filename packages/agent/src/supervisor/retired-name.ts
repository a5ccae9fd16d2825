/** The name of a container that was set aside. */
export const retiredName = (name: string, generation: number): string => `${name}${mark}${generation}`;

/** Whether `name` is what we called a container that was `former`. */
export const isRetiredName = (name: string, former: string): boolean => name.startsWith(`${former}${mark}`);

const mark = '-relight-old-';
